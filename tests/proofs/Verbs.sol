// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, IMoltEscrow, Status, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";

import {Proof} from "./Proof.sol";

/// @title Where a deal can go: by anybody's call, at any time, from any state
/// @dev Signatures are empty: whoever has to agree makes the call himself, or has approved it; Agreement.sol is about who
/// that must be. Of each verb it is proven from which status to which one it leads, that what has been paid never falls
/// nor passes a claim, and that flags and the conditions of the opening stay.
contract Verbs is Proof {
    uint8 internal constant ATTESTED = 2;

    struct Call {
        Terms terms;
        address caller;
        uint40 time;
        uint40 gpuSeconds;
    }

    struct Before {
        bytes32 dealId;
        Deal deal;
    }

    // ---------------------------------------------------------------- transitions

    function check_transitions_release(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, release(c))) return;
        Deal memory deal = escrow.dealOf(before.dealId);
        bool pays = both(deal.status == before.deal.status, deal.paid > before.deal.paid);
        transition(c, before, deal, isOpen(before.deal), either(pays, isClosed(deal)));
    }

    function check_transitions_claim(Call memory c, bytes32 result) public {
        Before memory before = read(c);
        if (!called(c, claim(c, result))) return;
        Deal memory deal = escrow.dealOf(before.dealId);
        bool to = both(deal.status == Status.CLAIMED, deal.claim == c.gpuSeconds);
        transition(c, before, deal, before.deal.status == Status.LOCKED, to);
        bool attested = deal.flags & ATTESTED != 0;
        assert(both(attested, both(deal.paid == before.deal.paid, deal.claim > deal.paid)));
    }

    function check_transitions_claimUnattested(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, claimUnattested(c))) return;
        Deal memory deal = escrow.dealOf(before.dealId);
        bool to = both(deal.status == Status.DISPUTED, deal.claim == c.gpuSeconds);
        transition(c, before, deal, before.deal.status == Status.LOCKED, to);
        assert(both(deal.paid == before.deal.paid, deal.claim > deal.paid));
    }

    function check_transitions_stop(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, stop(c))) return;
        Deal memory deal = escrow.dealOf(before.dealId);
        bool to = both(deal.status == Status.LOCKED, deal.endsAt < before.deal.endsAt);
        transition(c, before, deal, before.deal.status == Status.LOCKED, to);
        assert(both(deal.endsAt >= c.time, deal.paid == before.deal.paid));
    }

    function check_transitions_cancelDeal(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, cancelDeal(c))) return;
        Deal memory deal = closes(c, before, before.deal.status == Status.LOCKED);
        assert(deal.paid == before.deal.paid);
    }

    function check_transitions_dispute(Call memory c, bytes32 evidence) public {
        Before memory before = read(c);
        if (!called(c, dispute(c, evidence))) return;
        Deal memory deal = escrow.dealOf(before.dealId);
        bool to = both(deal.status == Status.DISPUTED, deal.paid == c.gpuSeconds);
        transition(c, before, deal, before.deal.status == Status.CLAIMED, to);
        assert(both(deal.claim == before.deal.claim, deal.paid < deal.claim));
    }

    function check_transitions_concede(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, concede(c))) return;
        Deal memory deal = closes(c, before, before.deal.status == Status.DISPUTED);
        assert(either(deal.paid == before.deal.paid, deal.paid == before.deal.claim));
    }

    function check_transitions_finalize(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, finalize(c))) return;
        bool from = either(isOpen(before.deal), before.deal.status == Status.DISPUTED);
        Deal memory deal = closes(c, before, from);
        bool isOneOfTwo = either(deal.paid == before.deal.paid, deal.paid == before.deal.claim);
        assert(both(c.time >= before.deal.deadline, isOneOfTwo));
    }

    function check_transitions_resolve(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, resolve(c))) return;
        Deal memory deal = closes(c, before, before.deal.status == Status.DISPUTED);
        assert(both(deal.paid == c.gpuSeconds, deal.paid <= before.deal.claim));
    }

    function check_transitions_settle(Call memory c) public {
        Before memory before = read(c);
        if (!called(c, settle(c))) return;
        bool from = either(isOpen(before.deal), before.deal.status == Status.DISPUTED);
        Deal memory deal = closes(c, before, from);
        assert(deal.paid == c.gpuSeconds);
    }

    function fails_transitions_finalize(Call memory c) public {
        read(c);
        assert(!called(c, finalize(c)));
    }

    function fails_transitions_stop(Call memory c) public {
        read(c);
        assert(!called(c, stop(c)));
    }

    // ---------------------------------------------------------------- calls

    function release(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.release, (c.terms, c.gpuSeconds, ""));
    }

    /// @dev By a quorum of one attestor.
    function claim(Call memory c, bytes32 result) internal returns (bytes memory) {
        address[] memory attestors = new address[](1);
        attestors[0] = svm.createAddress("attestor");
        bytes memory sig = svm.createBytes(64, "attestorSig");
        return abi.encodeCall(IMoltEscrow.claim, (c.terms, c.gpuSeconds, result, 0, "", attestors, sig));
    }

    function claimUnattested(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.claimUnattested, (c.terms, c.gpuSeconds, NO_DEADLINE, ""));
    }

    function stop(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.stop, (c.terms, NO_DEADLINE, ""));
    }

    function cancelDeal(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.cancelDeal, (c.terms, NO_DEADLINE, ""));
    }

    function dispute(Call memory c, bytes32 evidence) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.dispute, (c.terms, c.gpuSeconds, evidence, NO_DEADLINE, ""));
    }

    function concede(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.concede, (c.terms, c.gpuSeconds, NO_DEADLINE, ""));
    }

    function resolve(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.resolve, (c.terms, c.gpuSeconds, NO_DEADLINE, ""));
    }

    function settle(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.settle, (c.terms, c.gpuSeconds, NO_DEADLINE, "", ""));
    }

    function finalize(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.finalize, (c.terms));
    }

    function called(Call memory c, bytes memory data) internal returns (bool done) {
        vm.assume(c.time < END_OF_TIME);
        vm.warp(c.time);
        vm.prank(c.caller);
        (done,) = address(escrow).call(data);
    }

    // ---------------------------------------------------------------- before and after

    function read(Call memory c) internal view returns (Before memory before) {
        c.terms.buyer = BUYER;
        c.terms.provider = PROVIDER;
        before.dealId = escrow.dealIdOf(c.terms);
        before.deal = escrow.dealOf(before.dealId);
        vm.assume(isWithinItsClaim(before.deal));
    }

    function transition(Call memory c, Before memory before, Deal memory deal, bool from, bool to) internal view {
        uint256 changed = (before.deal.flags & ~deal.flags) | (deal.feeBps ^ before.deal.feeBps)
            | (deal.bondBps ^ before.deal.bondBps) | (deal.openedAt ^ before.deal.openedAt)
            | (deal.noticeMinutes ^ before.deal.noticeMinutes);
        bool grows = both(deal.endsAt <= before.deal.endsAt, deal.paid >= before.deal.paid);
        assert(both(both(from, to), both(both(changed == 0, grows), isWithinItsClaim(deal))));
    }

    function closes(Call memory c, Before memory before, bool from) internal view returns (Deal memory deal) {
        deal = escrow.dealOf(before.dealId);
        transition(c, before, deal, from, isClosed(deal));
    }

    /// @dev What is paid is within the claim, and only what is claimed is attested.
    function isWithinItsClaim(Deal memory deal) internal pure returns (bool) {
        bool isClaimed = either(deal.status == Status.CLAIMED, deal.status == Status.DISPUTED);
        bool isWithin = either(oneIf(isClaimed) == 0, deal.paid <= deal.claim);
        return both(isWithin, either(oneIf(deal.status == Status.LOCKED) == 0, deal.flags & ATTESTED == 0));
    }

    function isOpen(Deal memory deal) internal pure returns (bool) {
        return either(deal.status == Status.LOCKED, deal.status == Status.CLAIMED);
    }

    function isClosed(Deal memory deal) internal pure returns (bool) {
        bool refunded = both(deal.status == Status.REFUNDED, deal.paid == 0);
        return either(refunded, both(deal.status == Status.RELEASED, deal.paid != 0));
    }
}
