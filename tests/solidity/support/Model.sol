// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, Policy, Status, Terms} from "../../../contracts/interfaces/IMoltEscrow.sol";

/// @dev A deal on paper. What the contract works out again at each close (what is still held) is a running sum here.
struct ModelDeal {
    Terms terms;
    Policy policy;
    Status status;
    bool excused;
    bool attested;
    bool stopped;
    uint256 feeBps;
    uint256 openedAt;
    uint256 endsAt;
    uint256 deadline;
    uint256 paid;
    uint256 claim;
    uint256 held; // price, bond and stakes that went in, less what went out
}

/// @dev What one call moves out of a deal, and what it takes from the buyer's balance as a stake.
struct Flow {
    uint256 earned; // of the price, to the provider
    uint256 fee; // of the price, to the fee account
    uint256 back; // of bond and stakes, to the provider
    uint256 arbiter; // of the stakes
    uint256 buyer; // the rest
    uint256 stake;
}

/// @title The machine of docs/escrow.md on paper: nothing of it comes from contracts/libraries
/// @dev Every function assumes that the call is allowed; what is refused, the tests say themselves.
library Model {
    // ---------------------------------------------------------------- figures

    function allocation(ModelDeal memory d) internal pure returns (uint256) {
        return uint256(d.terms.gpuCount) * uint256(d.terms.duration);
    }

    function due(ModelDeal memory d, uint256 units) internal pure returns (uint256) {
        return (units * uint256(d.terms.pricePerGpuHour)) / 1 hours;
    }

    function feeOf(ModelDeal memory d, uint256 units) internal pure returns (uint256) {
        return (due(d, units) * d.feeBps) / 1e4;
    }

    function price(ModelDeal memory d) internal pure returns (uint256) {
        return due(d, allocation(d));
    }

    function bond(ModelDeal memory d) internal pure returns (uint256) {
        return (price(d) * uint256(d.policy.bondBps)) / 1e4;
    }

    function noticeSeconds(ModelDeal memory d) internal pure returns (uint256) {
        return uint256(d.policy.noticeMinutes) * 60;
    }

    /// @dev The part of the bond that `units` earn back.
    function bondOf(ModelDeal memory d, uint256 units) internal pure returns (uint256) {
        uint256 gpus = d.terms.gpuCount;
        uint256 deliverable = gpus * (d.endsAt - d.openedAt);
        bool nearlyAll = units + gpus * noticeSeconds(d) >= deliverable;
        if (units != 0 && nearlyAll) return bond(d);
        return (bond(d) * units) / deliverable;
    }

    /// @dev GPU-seconds that have passed, at most those until the end.
    function elapsed(ModelDeal memory d, uint256 time) internal pure returns (uint256) {
        return uint256(d.terms.gpuCount) * ((time < d.endsAt ? time : d.endsAt) - d.openedAt);
    }

    /// @dev The most that a voucher pays now.
    function most(ModelDeal memory d) internal pure returns (uint256) {
        return d.status == Status.LOCKED ? allocation(d) : d.claim;
    }

    /// @dev The provider's stake while a deal is disputed; the buyer's is as large, or 0 beside an unattested claim.
    function stakeOf(ModelDeal memory d) internal pure returns (uint256) {
        return bondOf(d, d.claim) - bondOf(d, d.paid);
    }

    // ---------------------------------------------------------------- transitions

    function open(Terms memory terms, Policy memory policy, uint256 feeBps, uint256 time)
        internal
        pure
        returns (ModelDeal memory d)
    {
        d.terms = terms;
        d.policy = policy;
        d.feeBps = feeBps;
        d.status = Status.LOCKED;
        d.openedAt = time;
        d.endsAt = time + terms.duration;
        d.deadline = d.endsAt + policy.grace;
        d.held = price(d) + bond(d);
    }

    function release(ModelDeal memory d, uint256 units) internal pure returns (Flow memory f) {
        bool full = units >= most(d);
        _pay(d, f, full ? most(d) : units);
        if (!full) return f;
        f.back = d.status == Status.LOCKED || d.excused ? bond(d) : bondOf(d, d.claim);
        _close(d, f);
    }

    function claimAttested(ModelDeal memory d, uint256 units, bool completed, uint256 time) internal pure {
        d.status = Status.CLAIMED;
        d.attested = true;
        if (completed) d.excused = true;
        d.claim = units;
        d.deadline = time + d.policy.challenge;
    }

    function claimUnattested(ModelDeal memory d, uint256 units, uint256 time) internal pure returns (Flow memory f) {
        d.claim = units;
        _contest(d, f, time);
    }

    function dispute(ModelDeal memory d, uint256 counter, uint256 time) internal pure returns (Flow memory f) {
        _pay(d, f, counter);
        _contest(d, f, time);
        f.stake = stakeOf(d);
        d.held += f.stake;
    }

    /// @param shareBps of the stakes, for the arbiter: 0 unless he ruled.
    function resolve(ModelDeal memory d, uint256 units, uint256 shareBps) internal pure returns (Flow memory f) {
        uint256 stake = stakeOf(d);
        uint256 pot = d.attested ? stake + stake : stake;
        f.arbiter = (pot * shareBps) / 1e4;
        uint256 contested = bondOf(d, units) - bondOf(d, d.paid);
        if (stake > 0) f.back = ((pot - f.arbiter) * contested) / stake;
        _pay(d, f, units);
        _close(d, f);
    }

    function settle(ModelDeal memory d, uint256 units) internal pure returns (Flow memory f) {
        f.back = d.status == Status.DISPUTED ? stakeOf(d) : bond(d);
        _pay(d, f, units);
        _close(d, f);
    }

    function cancelDeal(ModelDeal memory d) internal pure returns (Flow memory f) {
        f.back = d.excused ? bond(d) : bondOf(d, d.paid);
        _close(d, f);
    }

    function finalize(ModelDeal memory d) internal pure returns (Flow memory f) {
        if (d.status == Status.LOCKED) return cancelDeal(d);
        if (d.status == Status.DISPUTED) return resolve(d, d.attested ? d.claim : d.paid, 0);
        return release(d, d.claim);
    }

    /// @dev The end that a stop would set.
    function endIfStopped(ModelDeal memory d, uint256 time) internal pure returns (uint256) {
        uint256 noticed = time + noticeSeconds(d);
        uint256 committed = d.openedAt + d.terms.commitment;
        return noticed > committed ? noticed : committed;
    }

    function stop(ModelDeal memory d, uint256 time) internal pure {
        d.endsAt = endIfStopped(d, time);
        d.deadline = d.endsAt + d.policy.grace;
        d.stopped = true;
        if (time < d.openedAt + noticeSeconds(d)) d.excused = true;
    }

    // ---------------------------------------------------------------- the deal as the contract shows it

    function shown(ModelDeal memory d) internal pure returns (Deal memory) {
        return Deal({
            status: d.status,
            flags: (d.excused ? 1 : 0) + (d.attested ? 2 : 0) + (d.stopped ? 4 : 0),
            feeBps: uint16(d.feeBps),
            bondBps: d.policy.bondBps,
            openedAt: uint40(d.openedAt),
            endsAt: uint40(d.endsAt),
            deadline: uint40(d.deadline),
            paid: uint40(d.paid),
            claim: uint40(d.claim),
            noticeMinutes: d.policy.noticeMinutes
        });
    }

    // ---------------------------------------------------------------- parts

    function _pay(ModelDeal memory d, Flow memory f, uint256 units) private pure {
        uint256 netBefore = due(d, d.paid) - feeOf(d, d.paid);
        uint256 netAfter = due(d, units) - feeOf(d, units);
        uint256 fee = feeOf(d, units) - feeOf(d, d.paid);
        d.paid = units;
        f.earned = netAfter - netBefore;
        f.fee = fee;
        d.held -= netAfter - netBefore + fee;
    }

    /// @dev All that is not contested between `paid` and `claim` goes to its owner; the provider's stake stays.
    function _contest(ModelDeal memory d, Flow memory f, uint256 time) private pure {
        d.status = Status.DISPUTED;
        d.deadline = time + d.policy.arbitration;
        uint256 beyondClaim = bond(d) - bondOf(d, d.claim);
        f.back = bondOf(d, d.paid) + (d.excused ? beyondClaim : 0);
        f.buyer = price(d) - due(d, d.claim) + (d.excused ? 0 : beyondClaim);
        d.held -= f.back + f.buyer;
    }

    /// @dev The buyer gets what is left after `_pay`, the bond's part and the arbiter's.
    function _close(ModelDeal memory d, Flow memory f) private pure {
        f.buyer = d.held - f.back - f.arbiter;
        d.held = 0;
        d.status = d.paid == 0 ? Status.REFUNDED : Status.RELEASED;
    }
}
