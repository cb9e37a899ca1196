// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Status} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Ledger} from "./Ledger.sol";

/// @title What an undisputed deal holds goes out to the unit: to the provider, to the fee account, and the rest to the buyer
/// @dev For each verb: provider and fee account get what the formulas of Money say, together no more than the deal held,
/// and all else that it held, and does not hold any more, the buyer gets. Signatures are empty, as in Verbs.sol.
contract Conservation is Ledger {
    // ---------------------------------------------------------------- nothing moves

    function check_conservation_stop(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, abi.encodeCall(IMoltEscrow.stop, (c.terms, NO_DEADLINE, "")))) return;
        paysOut(b, Payouts(0, 0), heldBy(c.terms, c.deal), heldBy(c.terms, stored(c)));
    }

    /// @dev By a quorum of one attestor.
    function check_conservation_claim(Call memory c, bytes32 result) public {
        Balances memory b = before(c, Status.LOCKED);
        address[] memory attestors = new address[](1);
        attestors[0] = svm.createAddress("attestor");
        bytes memory sig = svm.createBytes(64, "attestorSig");
        bytes memory data = abi.encodeCall(IMoltEscrow.claim, (c.terms, c.gpuSeconds, result, 0, "", attestors, sig));
        if (!called(c, data)) return;
        paysOut(b, Payouts(0, 0), heldBy(c.terms, c.deal), heldBy(c.terms, stored(c)));
    }

    // ---------------------------------------------------------------- it goes on

    function check_conservation_releaseOfAPart(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, release(c))) return;
        DealWord deal = stored(c);
        vm.assume(deal.isIn(Status.LOCKED));
        paysOut(b, owed(c, deal.paid()), heldBy(c.terms, c.deal), heldBy(c.terms, deal));
    }

    function check_conservation_releaseOfAPartOfAClaim(Call memory c) public {
        Balances memory b = before(c, Status.CLAIMED);
        if (!called(c, release(c))) return;
        DealWord deal = stored(c);
        vm.assume(deal.isIn(Status.CLAIMED));
        paysOut(b, owed(c, deal.paid()), heldBy(c.terms, c.deal), heldBy(c.terms, deal));
    }

    // ---------------------------------------------------------------- it ends

    function check_conservation_releaseOfAll(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        vm.assume(c.gpuSeconds >= Money.allocation(c.terms));
        if (!called(c, release(c))) return;
        paysOut(b, undisputed(c, Money.allocation(c.terms)), heldBy(c.terms, c.deal), 0);
    }

    function check_conservation_releaseOfAllOfAClaim(Call memory c) public {
        Balances memory b = before(c, Status.CLAIMED);
        vm.assume(c.gpuSeconds >= c.deal.claim());
        if (!called(c, release(c))) return;
        paysOut(b, undisputed(c, c.deal.claim()), heldBy(c.terms, c.deal), 0);
    }

    function check_conservation_cancelDeal(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, abi.encodeCall(IMoltEscrow.cancelDeal, (c.terms, NO_DEADLINE, "")))) return;
        paysOut(b, undisputed(c, c.deal.paid()), heldBy(c.terms, c.deal), 0);
    }

    function check_conservation_finalize(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, finalize(c))) return;
        paysOut(b, undisputed(c, stored(c).paid()), heldBy(c.terms, c.deal), 0);
    }

    /// @dev Only a quorum makes a claim that is not a dispute at once.
    function check_conservation_finalizeOfAClaim(Call memory c) public {
        Balances memory b = before(c, Status.CLAIMED);
        vm.assume(c.deal.has(Deals.ATTESTED));
        if (!called(c, finalize(c))) return;
        paysOut(b, undisputed(c, c.deal.claim()), heldBy(c.terms, c.deal), 0);
    }

    /// @dev By agreement the bond is whole, whatever was delivered.
    function check_conservation_settle(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, settle(c))) return;
        Payouts memory p = owed(c, c.gpuSeconds);
        unchecked {
            p.toProvider += Money.part(Money.price(c.terms), c.deal.bondBps());
        }
        paysOut(b, p, heldBy(c.terms, c.deal), 0);
    }

    // ---------------------------------------------------------------- and not otherwise

    function fails_conservation_stop(Call memory c) public {
        ofOneHour(c);
        assert(!called(c, abi.encodeCall(IMoltEscrow.stop, (c.terms, NO_DEADLINE, ""))));
    }

    function fails_conservation_settle(Call memory c) public {
        ofOneHour(c);
        assert(!called(c, settle(c)));
    }

    function fails_conservation_finalizeOfAClaim(Call memory c) public {
        before(c, Status.CLAIMED);
        vm.assume(c.deal.has(Deals.ATTESTED));
        assert(!called(c, finalize(c)));
    }

    /// @dev A provider who cancels before he has delivered anything does not get his bond.
    function fails_conservation_cancelDeal(Call memory c) public {
        uint256 conditions = uint256(Status.LOCKED) | (30 << 16) | (1_000 << 32); // a fee, and a bond of a tenth
        c.deal = DealWord.wrap(conditions | (1_000 << 48) | (4_600 << 88) | (9_000 << 128)); // from, to, deadline
        Balances memory b = ofOneHour(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.cancelDeal, (c.terms, NO_DEADLINE, "")))) return;
        paysOut(b, Payouts(0.1 ether, 0), heldBy(c.terms, c.deal), 0);
    }

    /// @dev Figures that a counterexample is easily found for.
    function ofOneHour(Call memory c) internal returns (Balances memory) {
        c.terms.gpuCount = 1;
        c.terms.duration = 1 hours;
        c.terms.pricePerGpuHour = 1 ether;
        return before(c, Status.LOCKED);
    }

    // ---------------------------------------------------------------- calls

    function release(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.release, (c.terms, c.gpuSeconds, ""));
    }

    function finalize(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.finalize, (c.terms));
    }

    function settle(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.settle, (c.terms, c.gpuSeconds, NO_DEADLINE, "", ""));
    }
}
