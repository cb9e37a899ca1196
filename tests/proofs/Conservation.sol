// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Status, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Proof} from "./Proof.sol";

/// @title What an undisputed deal holds goes out to the unit: to the provider, to the fee account, and the rest to the buyer
/// @dev For each verb: provider and fee account get what the formulas of Money say, together no more than the deal held,
/// and all else that it held, and does not hold any more, the buyer gets. Signatures are empty, as in Verbs.sol. Taken for
/// granted: a deal holds less than 2^96 base units, as all tokens of the escrow are fewer.
contract Conservation is Proof {
    struct Call {
        Terms terms;
        DealWord deal;
        address caller;
        uint40 time;
        uint40 gpuSeconds;
    }

    struct Balances {
        uint96 buyer;
        uint96 provider;
        uint96 fees;
    }

    struct Payouts {
        uint256 toProvider;
        uint256 fee;
    }

    // ---------------------------------------------------------------- nothing moves

    function check_conservation_stop(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, abi.encodeCall(IMoltEscrow.stop, (c.terms, NO_DEADLINE, "")))) return;
        paysOut(c, b, Payouts(0, 0), held(c.terms, stored(c)));
    }

    /// @dev By a quorum of one attestor.
    function check_conservation_claim(Call memory c, bytes32 result) public {
        Balances memory b = before(c, Status.LOCKED);
        address[] memory attestors = new address[](1);
        attestors[0] = svm.createAddress("attestor");
        bytes memory sig = svm.createBytes(64, "attestorSig");
        bytes memory data = abi.encodeCall(IMoltEscrow.claim, (c.terms, c.gpuSeconds, result, 0, "", attestors, sig));
        if (!called(c, data)) return;
        paysOut(c, b, Payouts(0, 0), held(c.terms, stored(c)));
    }

    // ---------------------------------------------------------------- it goes on

    function check_conservation_releaseOfAPart(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, release(c))) return;
        DealWord deal = stored(c);
        vm.assume(deal.isIn(Status.LOCKED));
        paysOut(c, b, owed(c, deal.paid()), held(c.terms, deal));
    }

    function check_conservation_releaseOfAPartOfAClaim(Call memory c) public {
        Balances memory b = before(c, Status.CLAIMED);
        if (!called(c, release(c))) return;
        DealWord deal = stored(c);
        vm.assume(deal.isIn(Status.CLAIMED));
        paysOut(c, b, owed(c, deal.paid()), held(c.terms, deal));
    }

    // ---------------------------------------------------------------- it ends

    function check_conservation_cancelDeal(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, abi.encodeCall(IMoltEscrow.cancelDeal, (c.terms, NO_DEADLINE, "")))) return;
        paysOut(c, b, undisputed(c, c.deal.paid()), 0);
    }

    function check_conservation_finalize(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, finalize(c))) return;
        paysOut(c, b, undisputed(c, stored(c).paid()), 0);
    }

    /// @dev Only a quorum makes a claim that is not a dispute at once.
    function check_conservation_finalizeOfAClaim(Call memory c) public {
        Balances memory b = before(c, Status.CLAIMED);
        vm.assume(c.deal.has(Deals.ATTESTED));
        if (!called(c, finalize(c))) return;
        paysOut(c, b, undisputed(c, c.deal.claim()), 0);
    }

    /// @dev By agreement the bond is whole, whatever was delivered.
    function check_conservation_settle(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, settle(c))) return;
        Payouts memory p = owed(c, c.gpuSeconds);
        unchecked {
            p.toProvider += Money.part(Money.price(c.terms), c.deal.bondBps());
        }
        paysOut(c, b, p, 0);
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
        paysOut(c, b, Payouts(0.1 ether, 0), 0);
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

    function called(Call memory c, bytes memory data) internal returns (bool done) {
        vm.assume(c.time < END_OF_TIME);
        vm.warp(c.time);
        vm.prank(c.caller);
        (done,) = address(escrow).call(data);
    }

    // ---------------------------------------------------------------- what is paid out

    function owed(Call memory c, uint256 units) internal pure returns (Payouts memory p) {
        unchecked {
            uint256 paid = Money.due(c.terms, c.deal.paid());
            uint256 due = Money.due(c.terms, units);
            p.fee = Money.part(due, c.deal.feeBps()) - Money.part(paid, c.deal.feeBps());
            p.toProvider = due - paid - p.fee;
        }
    }

    function undisputed(Call memory c, uint256 units) internal pure returns (Payouts memory p) {
        uint256 bond = Money.part(Money.price(c.terms), c.deal.bondBps());
        p = owed(c, units);
        unchecked {
            p.toProvider += c.deal.has(Deals.EXCUSED) ? bond : Money.earned(c.terms, c.deal, bond, units);
        }
    }

    /// @dev `left`: what the deal still holds.
    function paysOut(Call memory c, Balances memory b, Payouts memory p, uint256 left) internal view {
        unchecked {
            uint256 out = held(c.terms, c.deal) - left;
            bool covered = both(isWithin(out, p.toProvider), isWithin(out - p.toProvider, p.fee));
            Balances memory now_ = balances();
            bool provider = grown(now_.provider, b.provider, p.toProvider);
            bool fees = grown(now_.fees, b.fees, p.fee);
            bool buyer = grown(now_.buyer, b.buyer, out - p.toProvider - p.fee);
            assert(both(both(covered, buyer), both(provider, fees)));
        }
    }

    function grown(uint96 now_, uint96 before_, uint256 amount) internal pure returns (bool) {
        unchecked {
            return uint256(now_) == uint256(before_) + uint96(amount);
        }
    }

    /// @dev Whether a part is within the whole, as the compiler asks it: the difference does not wrap around.
    function isWithin(uint256 whole, uint256 part) internal pure returns (bool) {
        unchecked {
            return whole - part <= whole;
        }
    }

    // ---------------------------------------------------------------- before and after

    function before(Call memory c, Status status) internal returns (Balances memory) {
        c.terms.buyer = BUYER;
        c.terms.provider = PROVIDER;
        vm.assume(c.deal.isIn(status));
        bytes32 dealId = escrow.dealIdOf(c.terms);
        vm.store(address(escrow), keccak256(abi.encode(dealId, DEALS_AT)), bytes32(DealWord.unwrap(c.deal)));
        vm.assume(held(c.terms, c.deal) <= type(uint96).max);
        return balances();
    }

    function stored(Call memory c) internal view returns (DealWord) {
        bytes32 dealId = escrow.dealIdOf(c.terms);
        return DealWord.wrap(uint256(vm.load(address(escrow), keccak256(abi.encode(dealId, DEALS_AT)))));
    }

    function balances() internal view returns (Balances memory) {
        return Balances(balanceOf(BUYER), balanceOf(PROVIDER), balanceOf(FEE_ACCOUNT));
    }

    function balanceOf(address account) internal view returns (uint96) {
        return uint96(uint256(vm.load(address(escrow), keccak256(abi.encode(account, ACCOUNTS_AT)))));
    }

    function held(Terms memory terms, DealWord deal) internal pure returns (uint256) {
        unchecked {
            uint256 price = Money.price(terms);
            return price + Money.part(price, deal.bondBps()) - Money.due(terms, deal.paid());
        }
    }
}
