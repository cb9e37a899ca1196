// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Code,
    IMoltEscrow,
    Match,
    Offer,
    Order,
    Policy,
    Side,
    Status
} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";
import {Call, Ghost, Resting} from "./Ghost.sol";
import {Step} from "./Steps.sol";

/// @title Calls that have to work
/// @dev A plan chooses what is said and by whom, enters in the books what it does, and hands the call back: to be sent
/// alone, or in a batch after other plans. A plan never moves time.
abstract contract Plans is Ghost {
    using Model for ModelDeal;

    // ---------------------------------------------------------------- which deals a plan is for

    function isLocked(ModelDeal memory d) internal pure returns (bool) {
        return d.status == Status.LOCKED;
    }

    function isClaimed(ModelDeal memory d) internal pure returns (bool) {
        return d.status == Status.CLAIMED;
    }

    function isDisputed(ModelDeal memory d) internal pure returns (bool) {
        return d.status == Status.DISPUTED;
    }

    function isUndisputed(ModelDeal memory d) internal pure returns (bool) {
        return d.status == Status.LOCKED || d.status == Status.CLAIMED;
    }

    function isAny(ModelDeal memory) internal pure returns (bool) {
        return true;
    }

    /// @dev LOCKED, in time, and more has passed than is paid, now or at its end.
    function isClaimable(ModelDeal memory d) internal view returns (bool) {
        return isLocked(d) && present() < d.deadline && d.elapsed(d.endsAt) > d.paid;
    }

    function isClaimableNow(ModelDeal memory d) internal view returns (bool) {
        return isClaimable(d) && d.elapsed(present()) > d.paid;
    }

    function isEnded(ModelDeal memory d) internal view returns (bool) {
        return present() >= d.endsAt;
    }

    function isAttestableNow(ModelDeal memory d) internal view returns (bool) {
        return d.policy.threshold != 0 && isClaimableNow(d);
    }

    function isClaimableUnattestedNow(ModelDeal memory d) internal view returns (bool) {
        return isClaimableNow(d) && isEnded(d);
    }

    function isDisputableNow(ModelDeal memory d) internal view returns (bool) {
        return isClaimed(d) && present() < d.deadline;
    }

    function isRulableNow(ModelDeal memory d) internal view returns (bool) {
        return isDisputed(d) && present() < d.deadline;
    }

    function isRulableByCallNow(ModelDeal memory d) internal view returns (bool) {
        return isRulableNow(d) && d.policy.arbiter == arbiter;
    }

    function isStoppableNow(ModelDeal memory d) internal view returns (bool) {
        return isLocked(d) && !d.stopped && d.endIfStopped(present()) < d.endsAt;
    }

    function isDue(ModelDeal memory d) internal view returns (bool) {
        return present() >= d.deadline;
    }

    function isReleasable(ModelDeal memory d) internal pure returns (bool) {
        return isUndisputed(d) && d.paid < d.most();
    }

    // ---------------------------------------------------------------- open

    /// @dev Buyer and provider; one time in eight they are the same person, under two names.
    function someParties() private returns (address, address) {
        return roll(8) == 0 ? (thief, accomplice) : (someone(buyers), someone(providers));
    }

    function someMatch() internal returns (Match memory m, Policy memory policy) {
        policy = policies[roll(policies.length)];
        m.offer = someOffer(Digests.policy(policy));
        (m.order.buyer, m.offer.provider) = someParties();
        m.offer.agent = someone(agents);
        m.offer.pricePerGpuHour = uint96(roll(3) == 0 ? rollWithin(1, 9_999) : rollWithin(1 gwei, 1 ether));
        m.offer.slot = uint64(roll(8));
        m.offer.minCommitmentHours = uint16(roll(3));
        uint256 gpus = rollWithin(1, 9);
        m.offer.gpuCount = uint32(inUse[m.offer.provider][m.offer.slot] + gpus + roll(2));
        uint16 hours_ = uint16(rollWithin(m.offer.minCommitmentHours == 0 ? 1 : m.offer.minCommitmentHours, 30));
        address party = m.order.buyer;
        m.order = orderFor(m.offer, uint32(gpus), hours_);
        m.order.buyer = party;
        m.order.slot = nextOrderSlot[party];
        nextOrderSlot[party] += uint64(roll(40) == 0 ? 100 : 1);
        if (roll(2) == 0) m.order.opener = opener;
        if (roll(2) == 0) m.order.offerHash = digest(Digests.offer(m.offer));
    }

    function someOpener(Match memory m) internal returns (address) {
        if (m.order.opener == address(0)) return batching || roll(2) == 0 ? relayer : m.order.buyer;
        return roll(2) == 0 ? opener : m.order.buyer;
    }

    function ensureParties(Match memory m, Policy memory policy) internal {
        ModelDeal memory d;
        d.terms = termsOfMatch(m);
        d.policy = policy;
        ensureFunds(m.order.buyer, d.price());
        ensureFunds(m.offer.provider, d.bond());
    }

    /// @dev A new deal, whose match is signed now. Its number is `deals.length - 1`.
    function planOpen() internal returns (Call memory) {
        (Match memory m, Policy memory policy) = someMatch();
        if (batching) m.order.opener = address(0);
        ensureParties(m, policy);
        address caller = someOpener(m);
        (, m.offerSig) = consent(m.offer.provider, digest(Digests.offer(m.offer)), false);
        bool own = caller == m.order.buyer && roll(2) == 0;
        agreedIn[m.order.buyer] = action;
        if (!own) (, m.orderSig) = consent(m.order.buyer, digest(Digests.order(m.order)), false);
        return recordOpen(m, policy, caller);
    }

    function recordOpen(Match memory m, Policy memory policy, address caller) internal returns (Call memory) {
        if (caller == opener) count(Step.OPEN_BY_OPENER);
        else count(caller == m.order.buyer ? Step.OPEN_BY_BUYER : Step.OPEN_BY_ANYONE);
        if (m.order.buyer == thief) count(Step.OPEN_OF_THIEF_WITH_HIMSELF);
        if (feeNow() != FEE_BPS) count(Step.OPEN_AT_ANOTHER_FEE);
        ModelDeal memory d = Model.open(termsOfMatch(m), policy, feeNow(), present());
        recordOpened(d);
        orderUsed[m.order.buyer][m.order.slot] = true;
        require(inUse[m.offer.provider][m.offer.slot] <= m.offer.gpuCount, "I35: more GPUs in use than offered");
        return Call(caller, abi.encodeCall(IMoltEscrow.open, (m)));
    }

    // ---------------------------------------------------------------- delivered

    /// @dev `part` 0: less than all. 1: all, or more.
    function planRelease(uint256 i, bool full) internal returns (Call memory) {
        ModelDeal memory d = deals[i];
        bool locked = isLocked(d);
        uint256 units = full || d.paid + 1 == d.most()
            ? rollWithin(d.most(), type(uint40).max)
            : rollWithin(d.paid + 1, d.most() - 1);
        (address caller, bytes memory sig) = consent(voucherSigner, digest(Digests.voucher(ids[i], units)), true);
        count(Step(uint256(Step.RELEASE_INTERIM_LOCKED) + (units >= d.most() ? 1 : 0) + (locked ? 0 : 2)));
        authorise(i, units < d.most() ? units : d.most());
        record(i, d, d.release(units));
        return Call(caller, abi.encodeCall(IMoltEscrow.release, (deals[i].terms, uint40(units), sig)));
    }

    function planClaim(uint256 i) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        bool completed = !isEnded(d) || roll(3) == 0;
        uint256 units = rollWithin(d.paid + 1, d.elapsed(present()));
        bytes32 result = completed ? bytes32(1 + roll(1_000)) : bytes32(0);
        bytes32 receipt = digest(Digests.receipt(ids[i], units, result, "usage"));
        bytes memory sig;
        (c.caller, sig) = consent(d.terms.agent, receipt, true);
        uint256 quorum = rollWithin(d.policy.threshold, attestors.length);
        bytes memory sigs = attested(receipt, quorum, roll(attestors.length - quorum + 1));
        count(completed ? Step.CLAIM_COMPLETED : Step.CLAIM_AFTER_THE_END);
        authorise(i, units);
        d.claimAttested(units, completed, present());
        Flow memory nothing;
        record(i, d, nothing);
        c.data = abi.encodeCall(IMoltEscrow.claim, (d.terms, uint40(units), result, "usage", sig, attestors, sigs));
    }

    function planClaimUnattested(uint256 i) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        uint256 units = rollWithin(d.paid + 1, d.elapsed(d.endsAt));
        uint40 deadline = someDeadline();
        bytes memory sig;
        (c.caller, sig) = consent(d.terms.provider, digest(Digests.unattestedClaim(ids[i], units, deadline)), true);
        count(Step.CLAIM_UNATTESTED);
        record(i, d, d.claimUnattested(units, present()));
        c.data = abi.encodeCall(IMoltEscrow.claimUnattested, (d.terms, uint40(units), deadline, sig));
    }

    // ---------------------------------------------------------------- disputed

    function planDispute(uint256 i) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        uint256 counter = rollWithin(d.paid, d.claim - 1);
        uint40 deadline = someDeadline();
        ensureFunds(d.terms.buyer, d.bond()); // the stake is never more
        bytes memory sig;
        bytes32 request = digest(Digests.dispute(ids[i], counter, "evidence", deadline));
        (c.caller, sig) = consent(d.terms.buyer, request, true);
        count(counter == d.paid ? Step.DISPUTE_ALL_THAT_IS_UNPAID : Step.DISPUTE_WITH_A_COUNTER);
        tallies[i].counter = counter;
        record(i, d, d.dispute(counter, present()));
        c.data = abi.encodeCall(IMoltEscrow.dispute, (d.terms, uint40(counter), "evidence", deadline, sig));
    }

    /// @dev For the policies whose arbiter is a person.
    function planResolve(uint256 i) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        uint256 units = rollWithin(d.paid, d.claim);
        uint40 deadline = someDeadline();
        bytes memory sig;
        (c.caller, sig) = consent(arbiter, digest(Digests.ruling(address(escrow), ids[i], units, deadline)), true);
        recordRuling(i, d, units);
        c.data = abi.encodeCall(IMoltEscrow.resolve, (d.terms, uint40(units), deadline, sig));
    }

    function recordRuling(uint256 i, ModelDeal memory d, uint256 units) internal {
        if (!d.attested) count(Step.RESOLVE_UNATTESTED);
        Flow memory f = d.resolve(units, d.policy.arbiterShareBps);
        count(f.arbiter == 0 ? Step.RESOLVE_WITHOUT_SHARE : Step.RESOLVE_WITH_SHARE);
        (tallies[i].ruled, tallies[i].ruling) = (true, units);
        authorise(i, units);
        record(i, d, f);
    }

    function planConcede(uint256 i, bool buyerGivesIn) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        uint256 units = buyerGivesIn ? d.claim : d.paid;
        uint40 deadline = someDeadline();
        bytes memory sig;
        address loser = buyerGivesIn ? d.terms.buyer : d.terms.provider;
        (c.caller, sig) = consent(loser, digest(Digests.concede(ids[i], units, deadline)), true);
        count(buyerGivesIn ? Step.CONCEDE_BY_BUYER : Step.CONCEDE_BY_PROVIDER);
        if (buyerGivesIn) authorise(i, units);
        record(i, d, d.resolve(units, 0));
        c.data = abi.encodeCall(IMoltEscrow.concede, (d.terms, uint40(units), deadline, sig));
    }

    // ---------------------------------------------------------------- ended early, by agreement, or by time

    function planStop(uint256 i) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        uint40 deadline = someDeadline();
        bytes memory sig;
        (c.caller, sig) = consent(d.terms.buyer, digest(Digests.stop(ids[i], deadline)), true);
        d.stop(present());
        count(d.excused ? Step.STOP_EXCUSED : Step.STOP_NOT_EXCUSED);
        Flow memory nothing;
        record(i, d, nothing);
        c.data = abi.encodeCall(IMoltEscrow.stop, (d.terms, deadline, sig));
    }

    function planCancelDeal(uint256 i) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        uint40 deadline = someDeadline();
        bytes memory sig;
        (c.caller, sig) = consent(d.terms.provider, digest(Digests.cancelDeal(ids[i], deadline)), true);
        count(d.paid == 0 ? Step.CANCEL_DEAL_NOTHING_PAID : Step.CANCEL_DEAL_PARTLY_PAID);
        if (d.excused) count(Step.CANCEL_DEAL_EXCUSED);
        record(i, d, d.cancelDeal());
        c.data = abi.encodeCall(IMoltEscrow.cancelDeal, (d.terms, deadline, sig));
    }

    function planSettle(uint256 i) internal returns (Call memory c) {
        ModelDeal memory d = deals[i];
        uint256 units = rollWithin(d.paid, isDisputed(d) ? d.claim : d.allocation());
        uint40 until = someDeadline();
        bytes32 split = digest(Digests.split(ids[i], units, until));
        bytes memory buyerSig;
        bytes memory providerSig;
        (c.caller, buyerSig) = consent(d.terms.buyer, split, true);
        (, providerSig) = consent(d.terms.provider, split, false);
        count(isLocked(d) ? Step.SETTLE_LOCKED : isClaimed(d) ? Step.SETTLE_CLAIMED : Step.SETTLE_DISPUTED);
        authorise(i, units);
        record(i, d, d.settle(units));
        c.data = abi.encodeCall(IMoltEscrow.settle, (d.terms, uint40(units), until, buyerSig, providerSig));
    }

    function planFinalize(uint256 i) internal returns (Call memory) {
        ModelDeal memory d = deals[i];
        if (isLocked(d)) count(Step.FINALIZE_LOCKED);
        else if (isClaimed(d)) count(Step.FINALIZE_CLAIMED);
        else count(d.attested ? Step.FINALIZE_DISPUTED_ATTESTED : Step.FINALIZE_DISPUTED_UNATTESTED);
        record(i, d, d.finalize());
        return Call(stranger, abi.encodeCall(IMoltEscrow.finalize, (deals[i].terms)));
    }

    // ---------------------------------------------------------------- accounts, cancels, approvals

    function planRequestWithdraw(address who, uint256 amount) internal returns (Call memory c) {
        uint40 deadline = someDeadline();
        bytes memory sig;
        bytes32 request = digest(Digests.requestWithdraw(who, amount, purse[who].nonce, deadline));
        (c.caller, sig) = consent(who, request, true);
        count(Step.REQUEST_WITHDRAW);
        purse[who].withdrawing = amount;
        purse[who].unlockAt = present() + WITHDRAW_DELAY;
        purse[who].nonce++;
        c.data = abi.encodeCall(IMoltEscrow.requestWithdraw, (who, uint96(amount), deadline, sig));
    }

    function planWithdraw(address who) internal returns (Call memory c) {
        uint40 deadline = someDeadline();
        bytes memory sig;
        bytes32 request = digest(Digests.withdraw(who, who, purse[who].nonce, deadline));
        (c.caller, sig) = consent(who, request, true);
        (uint256 marked, uint256 left) = (purse[who].withdrawing, due(who));
        count(marked <= left ? Step.WITHDRAW_ALL_MARKED : Step.WITHDRAW_WHAT_IS_LEFT);
        purse[who].withdrawn += marked < left ? marked : left;
        purse[who].withdrawing = 0;
        purse[who].nonce++;
        c.data = abi.encodeCall(IMoltEscrow.withdraw, (who, who, deadline, sig));
    }

    function planCancel(address maker, Side side, uint64 group) internal returns (Call memory c) {
        uint40 deadline = someDeadline();
        bytes memory sig;
        uint256 pending_ = cutoffs[maker][side][group].cutoffAt;
        bytes32 request = digest(Digests.cancelOrders(maker, side, group, uint40(pending_), deadline));
        (c.caller, sig) = consent(maker, request, true);
        count(side == Side.OFFERS ? Step.CANCEL_OFFERS : Step.CANCEL_ORDERS);
        cutoffs[maker][side][group].deadBefore = pending_;
        cutoffs[maker][side][group].cutoffAt = present() + CANCEL_DELAY;
        c.data = abi.encodeCall(IMoltEscrow.cancel, (maker, side, group, deadline, sig));
    }

    function planApprove(address who, bytes32 what) internal returns (Call memory) {
        count(Step.APPROVE);
        approvedUntil[who][what] = type(uint40).max;
        return Call(who, abi.encodeCall(IMoltEscrow.approve, (what)));
    }

    function planRevoke(address who, bytes32 what) internal returns (Call memory) {
        count(Step.REVOKE);
        uint256 until = present() + CANCEL_DELAY;
        if (approvedUntil[who][what] > until) approvedUntil[who][what] = until;
        return Call(who, abi.encodeCall(IMoltEscrow.revoke, (what)));
    }
}
