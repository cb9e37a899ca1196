// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Status, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Ledger} from "./Ledger.sol";

/// @title What a disputed deal holds is whole, and goes out to the unit
/// @dev A disputed deal holds what the contested GPU-seconds cost, and both stakes. Where it becomes one, provider and fee
/// account get what the formulas of Money say, and the buyer all the rest, less his stake. Where it ends, an arbiter who
/// ruled gets his share of the stakes, the provider the part of the others that he won, and the buyer all the rest.
/// Signatures are empty, as in Verbs.sol.
contract Contested is Ledger {
    /// @dev What the proofs compare with is what Money says.
    function check_earned_withoutABranch(Terms memory terms, DealWord deal, uint40 units) public pure {
        uint256 bond = Money.part(Money.price(terms), deal.bondBps());
        assert(earned(terms, deal, units) == Money.earned(terms, deal, bond, units));
    }

    // ---------------------------------------------------------------- it becomes one

    function check_conservation_claimUnattested(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, claimUnattested(c))) return;
        isContested(c, b, c.deal.paid());
    }

    /// @dev Only a quorum makes a claim that is not a dispute at once.
    function check_conservation_dispute(Call memory c) public {
        c.deal = c.deal.withFlag(Deals.ATTESTED);
        Balances memory b = before(c, Status.CLAIMED);
        if (!called(c, dispute(c))) return;
        isContested(c, b, c.gpuSeconds);
    }

    // ---------------------------------------------------------------- it ends

    /// @dev By the provider himself: the claim falls.
    function check_conservation_concede(Call memory c) public {
        (c.caller, c.gpuSeconds) = (PROVIDER, uint40(c.deal.paid()));
        vm.assume(c.deal.paid() != c.deal.claim());
        Balances memory b = before(c, Status.DISPUTED);
        if (!called(c, concede(c))) return;
        endsAt(c, b, c.deal.paid());
    }

    /// @dev By the buyer: it stands.
    function check_conservation_concedeByTheBuyer(Call memory c) public {
        (c.caller, c.gpuSeconds) = (BUYER, uint40(c.deal.claim()));
        Balances memory b = before(c, Status.DISPUTED);
        if (!called(c, concede(c))) return;
        endsAt(c, b, c.deal.claim());
    }

    /// @dev With an attested claim, that stands.
    function check_conservation_finalize(Call memory c) public {
        c.deal = c.deal.withFlag(Deals.ATTESTED);
        Balances memory b = before(c, Status.DISPUTED);
        if (!called(c, abi.encodeCall(IMoltEscrow.finalize, (c.terms)))) return;
        endsAt(c, b, c.deal.claim());
    }

    /// @dev Without one, it falls.
    function check_conservation_finalizeUnattested(Call memory c) public {
        vm.assume(!c.deal.has(Deals.ATTESTED));
        Balances memory b = before(c, Status.DISPUTED);
        if (!called(c, abi.encodeCall(IMoltEscrow.finalize, (c.terms)))) return;
        endsAt(c, b, c.deal.paid());
    }

    /// @dev By agreement each side has his stake back.
    function check_conservation_settle(Call memory c) public {
        Balances memory b = before(c, Status.DISPUTED);
        if (!called(c, abi.encodeCall(IMoltEscrow.settle, (c.terms, c.gpuSeconds, NO_DEADLINE, "", "")))) return;
        Payouts memory p = owed(c, c.gpuSeconds);
        Stakes memory s = stakesOf(c.terms, c.deal);
        unchecked {
            p.toProvider += s.stake;
        }
        paysOut(b, p, contested(c.terms, c.deal, s), 0);
    }

    // ---------------------------------------------------------------- by a ruling, for which the arbiter has his share

    /// @dev What is paid stands.
    function check_conservation_resolveForTheBuyer(Call memory c) public {
        c.gpuSeconds = uint40(c.deal.paid());
        endsByRuling(c, c.deal.paid());
    }

    /// @dev The claim stands.
    function check_conservation_resolveForTheProvider(Call memory c) public {
        c.gpuSeconds = uint40(c.deal.claim());
        endsByRuling(c, c.deal.claim());
    }

    /// @dev Neither stands whole.
    function check_conservation_resolveInBetween(Call memory c) public {
        vm.assume(both(c.deal.paid() < c.gpuSeconds, c.gpuSeconds < c.deal.claim()));
        endsByRuling(c, c.gpuSeconds);
    }

    function endsByRuling(Call memory c, uint256 units) internal {
        vm.assume(c.deal.paid() < c.deal.claim());
        Balances memory b = before(c, Status.DISPUTED);
        uint256 shareBps = nameArbiter(c.terms.policyId);
        uint96 arbiters = balanceOf(ARBITER);
        c.caller = ARBITER;
        if (!called(c, resolve(c))) return;
        Stakes memory s = stakesOf(c.terms, c.deal);
        uint256 share = Money.part(s.pot, shareBps);
        vm.assume(s.pot <= type(uint96).max);
        assert(both(isWithin(s.pot, share), grown(balanceOf(ARBITER), arbiters, share)));
        unchecked {
            s.pot -= share;
        }
        splits(c, b, units, s);
    }

    /// @dev Writes the arbiter into a policy, and returns what share of the stakes that gives him.
    function nameArbiter(bytes32 policyId) internal returns (uint256 shareBps) {
        uint256 at = uint256(keccak256(abi.encode(policyId, POLICIES_AT)));
        uint256 word = uint256(vm.load(address(escrow), bytes32(at)));
        vm.store(address(escrow), bytes32(at), bytes32(((word >> 160) << 160) | uint160(ARBITER)));
        return uint16(uint256(vm.load(address(escrow), bytes32(at + 1))) >> 32);
    }

    // ---------------------------------------------------------------- and not otherwise

    function fails_conservation_claimUnattested(Call memory c) public {
        ofOneHour(c, Status.LOCKED, 0);
        assert(!called(c, claimUnattested(c)));
    }

    function fails_conservation_dispute(Call memory c) public {
        ofOneHour(c, Status.CLAIMED, 1_800);
        assert(!called(c, dispute(c)));
    }

    /// @dev The sides do not share what the arbiter gets.
    function fails_conservation_resolve(Call memory c) public {
        Balances memory b = ofOneHour(c, Status.DISPUTED, 1_800);
        nameArbiter(c.terms.policyId);
        (c.caller, c.gpuSeconds) = (ARBITER, 900);
        if (!called(c, resolve(c))) return;
        splits(c, b, 900, stakesOf(c.terms, c.deal));
    }

    /// @dev A provider who gives in does not get his stake back.
    function fails_conservation_concede(Call memory c) public {
        Balances memory b = ofOneHour(c, Status.DISPUTED, 1_800);
        c.gpuSeconds = 0;
        if (!called(c, concede(c))) return;
        Stakes memory s = stakesOf(c.terms, c.deal);
        paysOut(b, Payouts(s.stake, 0), contested(c.terms, c.deal, s), 0);
    }

    /// @dev Of one GPU, none of it paid yet, with a fee and a bond of a tenth.
    function ofOneHour(Call memory c, Status status, uint256 claim) internal returns (Balances memory) {
        c.terms.gpuCount = 1;
        c.terms.duration = 1 hours;
        c.terms.pricePerGpuHour = 1 ether;
        uint256 conditions = (30 << 16) | (1_000 << 32) | (1_000 << 48) | (4_600 << 88) | (9_000 << 128);
        c.deal = DealWord.wrap(conditions | (claim << 208));
        if (claim != 0) c.deal = c.deal.withFlag(Deals.ATTESTED);
        return before(c, status);
    }

    // ---------------------------------------------------------------- calls

    function claimUnattested(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.claimUnattested, (c.terms, c.gpuSeconds, NO_DEADLINE, ""));
    }

    function dispute(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.dispute, (c.terms, c.gpuSeconds, 0, NO_DEADLINE, ""));
    }

    function concede(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.concede, (c.terms, c.gpuSeconds, NO_DEADLINE, ""));
    }

    function resolve(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.resolve, (c.terms, c.gpuSeconds, NO_DEADLINE, ""));
    }

    // ---------------------------------------------------------------- what is paid out

    struct Stakes {
        uint256 kept; // what is paid earned of the bond
        uint256 stake; // the provider's
        uint256 pot; // both sides' stakes; without a quorum the buyer has none
    }

    function stakesOf(Terms memory terms, DealWord deal) internal pure returns (Stakes memory s) {
        unchecked {
            s.kept = earned(terms, deal, deal.paid());
            s.stake = earned(terms, deal, deal.claim()) - s.kept;
            s.pot = oneOf(deal.has(Deals.ATTESTED), 2 * s.stake, s.stake);
        }
    }

    /// @dev As `Money.earned` says, without a branch.
    function earned(Terms memory terms, DealWord deal, uint256 units) internal pure returns (uint256) {
        uint256 bond = Money.part(Money.price(terms), deal.bondBps());
        uint256 share;
        unchecked {
            uint256 deliverable = terms.gpuCount * (deal.endsAt() - deal.openedAt());
            uint256 tolerated = terms.gpuCount * deal.noticeSeconds();
            assembly {
                share := div(mul(bond, units), deliverable)
            }
            return oneOf(both(units > 0, units + tolerated >= deliverable), bond, share);
        }
    }

    /// @dev What a disputed deal holds.
    function contested(Terms memory terms, DealWord deal, Stakes memory s) internal pure returns (uint256) {
        unchecked {
            return Money.due(terms, deal.claim()) - Money.due(terms, deal.paid()) + s.pot;
        }
    }

    /// @dev The provider keeps of his bond what the counter earns; excused, all but his stake.
    function isContested(Call memory c, Balances memory b, uint256 counter) internal view {
        DealWord deal = stored(c);
        Stakes memory s = stakesOf(c.terms, deal);
        Payouts memory p = owed(c, counter);
        unchecked {
            uint256 bond = Money.part(Money.price(c.terms), c.deal.bondBps());
            p.toProvider += oneOf(deal.has(Deals.EXCUSED), bond - s.stake, s.kept);
            uint256 held = heldBy(c.terms, c.deal);
            vm.assume(held <= type(uint96).max);
            uint256 rest = held - contested(c.terms, deal, s) - p.toProvider - p.fee;
            bool buyer = balanceOf(BUYER) == uint96(b.buyer + rest); // negative where his stake is more than he gets
            assert(both(buyer, othersGot(b, p)));
        }
    }

    /// @dev Nobody ruled: all stakes are split.
    function endsAt(Call memory c, Balances memory b, uint256 units) internal view {
        splits(c, b, units, stakesOf(c.terms, c.deal));
    }

    /// @dev Stakes go to the provider as far as what stands earns what he staked.
    function splits(Call memory c, Balances memory b, uint256 units, Stakes memory s) internal view {
        Payouts memory p = owed(c, units);
        uint256 more = earned(c.terms, c.deal, units);
        uint256 won;
        unchecked {
            more -= s.kept;
            (uint256 pot, uint256 stake) = (s.pot, s.stake);
            assembly {
                won := div(mul(pot, more), stake) // nothing of nothing
            }
            p.toProvider += won;
        }
        paysOut(b, p, contested(c.terms, c.deal, s), 0);
    }
}
