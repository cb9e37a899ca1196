// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Status, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Proof} from "./Proof.sol";

/// @title Where a deal can go, and its money: by anybody's call, at any time, from any state
/// @dev Signatures are empty: whoever has to agree makes the call himself, or has approved it; Agreement.sol is about who
/// that must be. Of each verb it is proven
/// - from which status to which one it leads, that what has been paid never falls nor passes a claim, and that flags and
///   the conditions of the opening stay;
/// - that what the deal holds and the balances of buyer, provider, fee account and arbiter are together what they were,
///   and that nobody else's balance changes.
/// Where a verb has too many paths for one proof, its cases together are all that there are.
contract Verbs is Proof {
    uint256 private constant ACCOUNTS_SLOT = 3; // docs/storage.md
    uint256 private constant DEALS_SLOT = 6;
    uint256 private constant POLICIES_SLOT = 7;

    struct Call {
        Terms terms;
        DealWord deal;
        address caller;
        address other; // anybody but the four
        uint40 time;
        uint40 gpuSeconds;
    }

    struct State {
        DealWord deal;
        uint256 held; // by the deal
        uint256 balances; // of the four
        uint256 others; // balance of c.other
    }

    bytes32 private dealId;

    // ---------------------------------------------------------------- delivered

    function check_release(Call memory c) public {
        State memory before = state(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.release, (c.terms, c.gpuSeconds, "")))) return;
        DealWord deal = conserved(c, before);
        bool pays = both(deal.status() == before.deal.status(), deal.paid() > before.deal.paid());
        transition(before.deal, deal, isOpen(before.deal), either(pays, isClosed(deal)));
    }

    function check_cancelDeal(Call memory c) public {
        State memory before = state(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.cancelDeal, (c.terms, NO_DEADLINE, "")))) return;
        DealWord deal = conserved(c, before);
        transition(before.deal, deal, before.deal.isIn(Status.LOCKED), isClosed(deal));
        assert(deal.paid() == before.deal.paid());
    }

    function check_finalize(Call memory c) public {
        State memory before = state(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.finalize, (c.terms)))) return;
        DealWord deal = conserved(c, before);
        transition(before.deal, deal, isLive(before.deal), isClosed(deal));
        bool byDefault = either(deal.paid() == before.deal.paid(), deal.paid() == before.deal.claim());
        assert(both(c.time >= before.deal.deadline(), byDefault));
    }

    function check_concede(Call memory c) public {
        State memory before = state(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.concede, (c.terms, c.gpuSeconds, NO_DEADLINE, "")))) return;
        DealWord deal = conserved(c, before);
        transition(before.deal, deal, before.deal.isIn(Status.DISPUTED), isClosed(deal));
        assert(either(deal.paid() == before.deal.paid(), deal.paid() == before.deal.claim()));
    }

    function check_dispute(Call memory c, bytes32 evidence) public {
        State memory before = state(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.dispute, (c.terms, c.gpuSeconds, evidence, NO_DEADLINE, "")))) return;
        DealWord deal = conserved(c, before);
        bool to = both(deal.isIn(Status.DISPUTED), deal.paid() == c.gpuSeconds);
        transition(before.deal, deal, before.deal.isIn(Status.CLAIMED), to);
        assert(both(deal.claim() == before.deal.claim(), deal.paid() < deal.claim()));
    }

    function check_resolve(Call memory c) public {
        State memory before = state(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.resolve, (c.terms, c.gpuSeconds, NO_DEADLINE, "")))) return;
        DealWord deal = conserved(c, before);
        transition(before.deal, deal, before.deal.isIn(Status.DISPUTED), isClosed(deal));
        assert(both(deal.paid() == c.gpuSeconds, deal.paid() <= before.deal.claim()));
    }

    function check_settle(Call memory c) public {
        State memory before = state(c);
        if (!called(c, abi.encodeCall(IMoltEscrow.settle, (c.terms, c.gpuSeconds, NO_DEADLINE, "", "")))) return;
        DealWord deal = conserved(c, before);
        transition(before.deal, deal, isLive(before.deal), isClosed(deal));
        assert(deal.paid() == c.gpuSeconds);
    }

    // ---------------------------------------------------------------- before and after

    /// @dev Any deal, any balances. Status and flags are one number on each path, so that no path is followed in vain.
    function state(Call memory c) internal returns (State memory before) {
        c.terms.buyer = BUYER;
        c.terms.provider = PROVIDER;
        dealId = escrow.dealIdOf(c.terms);
        uint256 status = concrete(c.deal.status(), uint256(type(Status).max) + 1);
        uint256 flags = concrete((DealWord.unwrap(c.deal) >> 8) & 3, 4);
        before.deal = DealWord.wrap((DealWord.unwrap(c.deal) & ~uint256(0x3ff)) | (flags << 8) | status);
        vm.assume(isWithinItsClaim(before.deal));
        vm.store(address(escrow), wordOf(uint256(dealId), DEALS_SLOT), bytes32(DealWord.unwrap(before.deal)));
        bytes32 policy = wordOf(uint256(c.terms.policyId), POLICIES_SLOT);
        uint256 rest = uint256(vm.load(address(escrow), policy)) >> 160 << 160;
        vm.store(address(escrow), policy, bytes32(rest | uint160(ARBITER)));
        read(c, before);
    }

    function called(Call memory c, bytes memory data) internal returns (bool done) {
        vm.assume(c.time < END_OF_TIME);
        vm.warp(c.time);
        vm.prank(c.caller);
        (done,) = address(escrow).call(data);
    }

    function conserved(Call memory c, State memory before) internal view returns (DealWord) {
        State memory later;
        later.deal = DealWord.wrap(uint256(vm.load(address(escrow), wordOf(uint256(dealId), DEALS_SLOT))));
        read(c, later);
        unchecked {
            uint256 all = before.held + before.balances;
            bool fits = both(before.held <= type(uint96).max, all <= type(uint96).max);
            bool isOther = both(both(c.other != BUYER, c.other != PROVIDER), both(c.other != FEE_ACCOUNT, c.other != ARBITER));
            assert(either(!fits, both(later.held + later.balances == all, either(!isOther, later.others == before.others))));
        }
        return later.deal;
    }

    function read(Call memory c, State memory s) internal view {
        s.held = held(c.terms, s.deal);
        s.balances = balance(BUYER) + balance(PROVIDER) + balance(FEE_ACCOUNT) + balance(ARBITER);
        s.others = balance(c.other);
    }

    function transition(DealWord before, DealWord deal, bool from, bool to) internal pure {
        uint256 lost = DealWord.unwrap(before) & ~DealWord.unwrap(deal) & 0xff00;
        uint256 changed = (deal.feeBps() ^ before.feeBps()) | (deal.bondBps() ^ before.bondBps())
            | (deal.openedAt() ^ before.openedAt()) | (deal.noticeSeconds() ^ before.noticeSeconds());
        bool grows = both(deal.endsAt() <= before.endsAt(), deal.paid() >= before.paid());
        assert(both(both(from, to), both(both((lost | changed) == 0, grows), isWithinItsClaim(deal))));
    }

    /// @dev What is paid is within the claim, and only what is claimed is attested.
    function isWithinItsClaim(DealWord deal) internal pure returns (bool) {
        bool isClaimed = either(deal.isIn(Status.CLAIMED), deal.isIn(Status.DISPUTED));
        bool isWithin = either(!isClaimed, deal.paid() <= deal.claim());
        return both(isWithin, either(!deal.isIn(Status.LOCKED), !deal.has(Deals.ATTESTED)));
    }

    function isOpen(DealWord deal) internal pure returns (bool) {
        return either(deal.isIn(Status.LOCKED), deal.isIn(Status.CLAIMED));
    }

    function isLive(DealWord deal) internal pure returns (bool) {
        return either(isOpen(deal), deal.isIn(Status.DISPUTED));
    }

    function isClosed(DealWord deal) internal pure returns (bool) {
        bool refunded = both(deal.isIn(Status.REFUNDED), deal.paid() == 0);
        return either(refunded, both(deal.isIn(Status.RELEASED), deal.paid() != 0));
    }

    // ---------------------------------------------------------------- money

    /// @dev Of the price what is not paid, and bond or stakes.
    function held(Terms memory terms, DealWord deal) internal pure returns (uint256) {
        unchecked {
            if (!isLive(deal)) return 0;
            uint256 price = Money.price(terms);
            uint256 bond = Money.part(price, deal.bondBps());
            uint256 paid = Money.due(terms, deal.paid());
            if (isOpen(deal)) return price + bond - paid;
            uint256 stake = earned(terms, deal, bond, deal.claim()) - earned(terms, deal, bond, deal.paid());
            return Money.due(terms, deal.claim()) - paid + (deal.has(Deals.ATTESTED) ? 2 * stake : stake);
        }
    }

    /// @dev As in Money, without a branch.
    function earned(Terms memory terms, DealWord deal, uint256 bond, uint256 units) internal pure returns (uint256 n) {
        unchecked {
            uint256 deliverable = terms.gpuCount * (deal.endsAt() - deal.openedAt());
            uint256 tolerated = terms.gpuCount * deal.noticeSeconds();
            uint256 whole = 0 - oneIf(both(units > 0, units + tolerated >= deliverable));
            uint256 exact = bond * units;
            assembly {
                n := or(and(bond, whole), and(div(exact, deliverable), not(whole)))
            }
        }
    }

    function balance(address account) internal view returns (uint256) {
        return uint96(uint256(vm.load(address(escrow), wordOf(uint160(account), ACCOUNTS_SLOT))));
    }

    function wordOf(uint256 key, uint256 slot) internal pure returns (bytes32) {
        return keccak256(abi.encode(key, slot));
    }

    /// @dev The same number, on a path of its own for each of the first `n`.
    function concrete(uint256 number, uint256 n) internal pure returns (uint256 i) {
        for (i = 0; i < n; i++) {
            if (number == i) return i;
        }
        vm.assume(false);
    }
}
