// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";

import {Code, IMoltEscrow, Match, Policy, Role, Side, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "../support/Digests.sol";
import {Model, ModelDeal} from "../support/Model.sol";
import {Call, Resting} from "./Ghost.sol";
import {Invariants} from "./Invariants.sol";
import {Step} from "./Steps.sol";

/// @title The people of a market, each with what they may do
/// @dev Every external function but `check` and `finish` is a handler: it takes a seed, does one thing that has to work
/// or has to be refused, and enters it in the books. Where it needs a deal in some state and there is none, it brings
/// one there, so every step really happens in a campaign of modest length.
contract World is Invariants {
    using Model for ModelDeal;

    uint256 private constant MAX_RESTING = 5;
    uint256 private constant MAX_BURIED = 4;

    modifier acting(uint256 seed) {
        begin(seed);
        _;
    }

    // ---------------------------------------------------------------- time

    function timeGoesOn(uint256 seed) external acting(seed) {
        uint256 kind = roll(4);
        if (kind == 0 && live.length != 0) {
            // to a second before, at or after the next thing to happen to some deal
            ModelDeal memory d = deals[live[roll(live.length)]];
            waitUntil((present() < d.endsAt ? d.endsAt : d.deadline) + roll(3) - 1);
        } else if (kind == 1) {
            waitUntil(present() + roll(1 days));
        } else {
            waitUntil(present() + roll(1 hours));
        }
    }

    // ---------------------------------------------------------------- buyers and providers: accounts

    function deposits(uint256 seed) external acting(seed) {
        address who = someone(accounts);
        uint256 amount = rollWithin(1, 10 ether);
        token.mint(relayer, amount);
        vm.prank(relayer);
        token.approve(address(escrow), amount);
        purse[who].deposited += amount;
        count(Step.DEPOSIT);
        send(Call(relayer, abi.encodeCall(IMoltEscrow.deposit, (who, amount))));
    }

    function depositsByPermit(uint256 seed) external acting(seed) {
        address who = roll(2) == 0 ? buyers[roll(2)] : providers[roll(2)];
        uint256 amount = rollWithin(1, 10 ether);
        uint256 deadline = someDeadline();
        token.mint(who, amount);
        bytes32 permit = Digests.permit(who, address(escrow), amount, token.nonces(who), deadline);
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(keyOf[who], Digests.typed(Digests.domain("Watched", address(token)), permit));
        purse[who].deposited += amount;
        count(Step.DEPOSIT_BY_PERMIT);
        bytes memory data = abi.encodeCall(IMoltEscrow.depositWithPermit, (who, amount, deadline, v, r, s));
        send(Call(roll(2) == 0 ? who : relayer, data));
    }

    function requestsWithdrawal(uint256 seed) external acting(seed) {
        address who = someTrader();
        send(planRequestWithdraw(who, rollWithin(0, due(who))));
        noteTrick(who);
    }

    /// @dev Marks a part if nothing is marked, waits until it is free, sometimes lets a deal spend it before.
    function withdraws(uint256 seed) external acting(seed) {
        address who = someTrader();
        ensureFunds(who, 1);
        if (purse[who].withdrawing == 0) send(planRequestWithdraw(who, rollWithin(1, due(who))));
        Call memory early = Call(who, abi.encodeCall(IMoltEscrow.withdraw, (who, who, 0, "")));
        uint256 unlockAt = purse[who].unlockAt;
        if (present() < unlockAt) sendInVain(early, refusal(Code.TOO_EARLY, present(), unlockAt));
        waitUntil(unlockAt);
        if (due(who) == 0) return sendInVain(early, refusal(Code.ZERO_AMOUNT, 0, 1));
        send(planWithdraw(who));
    }

    /// @dev A buyer marks all he has, and a deal spends part of it before he can withdraw.
    function withdrawsWhatIsLeft(uint256 seed) external acting(seed) {
        open();
        address who = deals[deals.length - 1].terms.buyer;
        ensureFunds(who, 2 ether);
        send(planRequestWithdraw(who, due(who)));
        uint256 unlockAt = purse[who].unlockAt;
        Match memory m;
        Policy memory policy;
        for (uint256 tries = 0; m.order.buyer != who; tries++) {
            (m, policy) = someMatch();
        }
        uint256 left = due(who);
        ModelDeal memory d;
        (d.terms, d.policy) = (termsOfMatch(m), policy);
        if (paused() || d.price() > left) return; // the price is beyond what he marked: another time
        ensureFunds(m.offer.provider, d.bond());
        (, m.offerSig) = consent(m.offer.provider, digest(Digests.offer(m.offer)), false);
        agreedIn[who] = action;
        send(recordOpen(m, policy, who));
        waitUntil(unlockAt);
        if (due(who) != 0) send(planWithdraw(who));
    }

    function someTrader() private returns (address) {
        uint256 kind = roll(8);
        if (kind == 0) return thief;
        if (kind == 1) return accomplice;
        if (kind == 2) return feeRecipient;
        return kind < 6 ? someone(buyers) : someone(providers);
    }

    function registersAPolicyAgain(uint256 seed) external acting(seed) {
        Policy memory policy = policies[roll(policies.length)];
        count(Step.REGISTER_POLICY_AGAIN);
        send(Call(stranger, abi.encodeCall(IMoltEscrow.registerPolicy, (policy, setOf(policy)))));
    }

    // ---------------------------------------------------------------- buyers and providers: matches

    function opens_(uint256 seed) external acting(seed) {
        if (paused()) triesToOpen();
        else open();
    }

    /// @dev Refused before anything of the match is looked at but whether it fits.
    function triesToOpen() private {
        (Match memory m,) = someMatch();
        count(Step.OPEN_REFUSED_WHILE_PAUSED);
        Call memory c = Call(m.order.buyer, abi.encodeCall(IMoltEscrow.open, (m)));
        sendInVain(c, refusal(Code.PAUSED, present(), pausedUntil));
    }

    /// @dev A new deal at the end of the list. Pauses end first, and there is room.
    function open() private {
        if (paused()) endPause();
        while (live.length >= MAX_LIVE) {
            send(planSettle(live[roll(live.length)]));
        }
        send(planOpen());
    }

    function leavesAMatchResting(uint256 seed) external acting(seed) {
        leaveAMatch();
    }

    function leaveAMatch() private {
        if (resting.length >= MAX_RESTING) {
            resting[roll(resting.length)] = resting[resting.length - 1];
            resting.pop();
        }
        (Match memory m, Policy memory policy) = someMatch();
        m.offer.gpuCount += 20; // others may open in the same slot meanwhile
        m.order.offerHash = 0;
        (m.offer.expiresAt, m.order.expiresAt) = (FAR, FAR);
        if (roll(5) == 0) m.offer.maxFeeBps = 0;
        ensureParties(m, policy);
        Resting memory r;
        (r.offerHash, r.orderHash) = (digest(Digests.offer(m.offer)), digest(Digests.order(m.order)));
        (, m.offerSig) = consent(m.offer.provider, r.offerHash, false);
        (, m.orderSig) = consent(m.order.buyer, r.orderHash, false);
        (r.offerApproved, r.orderApproved) = (m.offerSig.length == 0, m.orderSig.length == 0);
        r.caller = m.order.opener == address(0) ? relayer : opener;
        r.encoded = abi.encode(m);
        resting.push(r);
    }

    /// @dev It opens while the books say so, whatever its makers have begun meanwhile, and is refused when they do not.
    function opensARestingMatch(uint256 seed) external acting(seed) {
        if (buried.length != 0 && roll(4) == 0) {
            Resting memory dead = buried[roll(buried.length)];
            triesTheDead(dead, abi.decode(dead.encoded, (Match)));
        }
        if (resting.length == 0) leaveAMatch();
        uint256 j = roll(resting.length);
        Match memory m = abi.decode(resting[j].encoded, (Match));
        if (roll(2) == 0) tricks(resting[j], m);
        Resting memory r = resting[j];
        Call memory c = Call(r.caller, abi.encodeCall(IMoltEscrow.open, (m)));
        if (roll(4) != 0) ensureParties(m, policyOfId(m.offer.policyId)); // others may have spent it
        if (!isOpenable(r, m)) {
            (Code code, uint256 actual, uint256 limit) = escrow.check(m, r.caller);
            require(code != Code.NONE, "openable against the books");
            count(Step.RESTING_MATCH_REFUSED);
            sendInVain(c, refusal(code, actual, limit));
            if (isCancelled(m) || orderUsed[m.order.buyer][m.order.slot]) dropResting(j, m);
            return;
        }
        if (live.length >= MAX_LIVE) send(planSettle(live[roll(live.length)]));
        (agreedIn[m.order.buyer], agreedIn[m.offer.provider]) = (action, action);
        count(Step.OPEN_A_RESTING_MATCH);
        if (r.tricked) count(Step.RESTING_MATCH_OUTLIVED_A_TRICK);
        send(recordOpen(m, policyOfId(m.offer.policyId), r.caller));
        dropResting(j, m);
    }

    /// @dev A maker who thinks better of it, a second before it opens.
    function tricks(Resting memory r, Match memory m) private {
        (address maker, bytes32 hash) = roll(2) == 0 ? (m.offer.provider, r.offerHash) : (m.order.buyer, r.orderHash);
        uint256 kind = roll(3);
        Side side = maker == m.offer.provider ? Side.OFFERS : Side.ORDERS;
        uint64 group = side == Side.OFFERS ? m.offer.slot >> 2 : m.order.slot >> 7;
        if (kind == 0) send(planRequestWithdraw(maker, due(maker)));
        else if (kind == 1) send(planRevoke(maker, hash));
        else if (present() >= cutoffs[maker][side][group].cutoffAt) send(planCancel(maker, side, group));
        noteTrick(maker);
    }

    function dropResting(uint256 j, Match memory m) private {
        if (isCancelled(m)) {
            triesTheDead(resting[j], m);
            if (buried.length < MAX_BURIED) buried.push(resting[j]);
            else buried[roll(MAX_BURIED)] = resting[j];
        }
        resting[j] = resting[resting.length - 1];
        resting.pop();
    }

    /// @dev I37: whatever else may be wrong with it by now, it does not open.
    function triesTheDead(Resting memory r, Match memory m) private {
        (Code code, uint256 actual, uint256 limit) = escrow.check(m, r.caller);
        require(code != Code.NONE, "I37");
        count(Step.CANCELLED_MATCH_REFUSED);
        sendInVain(Call(r.caller, abi.encodeCall(IMoltEscrow.open, (m))), refusal(code, actual, limit));
    }

    function cancels(uint256 seed) external acting(seed) {
        (address maker, Side side, uint64 group) = (someone(buyers), Side.ORDERS, 0);
        if (resting.length != 0) {
            Match memory m = abi.decode(resting[roll(resting.length)].encoded, (Match));
            (maker, group) = (m.order.buyer, m.order.slot >> 7);
            if (roll(2) == 0) (maker, side, group) = (m.offer.provider, Side.OFFERS, m.offer.slot >> 2);
        }
        uint256 cutoffAt = cutoffs[maker][side][group].cutoffAt;
        if (present() < cutoffAt) {
            Call memory c = Call(maker, abi.encodeCall(IMoltEscrow.cancel, (maker, side, group, 0, "")));
            sendInVain(c, refusal(Code.CANCEL_PENDING, present(), cutoffAt));
            waitUntil(cutoffAt);
        }
        send(planCancel(maker, side, group));
        noteTrick(maker);
        if (roll(2) == 0) return;
        waitUntil(present() + CANCEL_DELAY);
        buryTheCancelled();
    }

    function buryTheCancelled() private {
        for (uint256 j = resting.length; j > 0; j--) {
            Match memory m = abi.decode(resting[j - 1].encoded, (Match));
            if (isCancelled(m)) dropResting(j - 1, m);
        }
    }

    /// @dev The wallets that approve, and people who change their mind.
    function togglesAnApproval(uint256 seed) external acting(seed) {
        address who = someTrader();
        bytes32 what = bytes32(roll(4));
        if (resting.length != 0 && roll(4) != 0) {
            Resting memory r = resting[roll(resting.length)];
            Match memory m = abi.decode(r.encoded, (Match));
            (who, what) = roll(2) == 0 ? (m.offer.provider, r.offerHash) : (m.order.buyer, r.orderHash);
        }
        send(roll(3) == 0 ? planApprove(who, what) : planRevoke(who, what));
        noteTrick(who);
        assertEq(escrow.approvedUntil(who, what), approvedUntil[who][what], "approval");
    }

    function noteTrick(address who) private {
        for (uint256 j = 0; j < resting.length; j++) {
            Match memory m = abi.decode(resting[j].encoded, (Match));
            if (m.order.buyer == who || m.offer.provider == who) resting[j].tricked = true;
        }
    }

    // ---------------------------------------------------------------- deals in the state that is needed

    function locked() private returns (uint256 i) {
        i = find(isClaimable);
        if (exists(i)) return i;
        open();
        return deals.length - 1;
    }

    function attestable() private returns (uint256 i) {
        for (i = locked(); deals[i].policy.threshold == 0; i = deals.length - 1) {
            open();
        }
        ripen(i);
    }

    /// @dev Let time pass until something of it can be claimed.
    function ripen(uint256 i) private {
        ModelDeal memory d = deals[i];
        uint256 first = d.openedAt + d.paid / d.terms.gpuCount + 1;
        waitUntil(first < d.endsAt ? rollWithin(first, d.endsAt) : d.endsAt);
    }

    function claimed() private returns (uint256 i) {
        i = find(isDisputableNow);
        if (exists(i)) return i;
        i = attestable();
        send(planClaim(i));
    }

    function disputed() private returns (uint256 i) {
        i = find(isRulableNow);
        if (exists(i)) return i;
        return freshDispute();
    }

    function freshDispute() private returns (uint256 i) {
        i = claimed();
        send(planDispute(i));
    }

    // ---------------------------------------------------------------- buyers

    /// @dev I32, measured: what he could have by giving up, or by waiting for a claim, is never less with a voucher.
    function releases(uint256 seed) external acting(seed) {
        uint256 i = find(isReleasable);
        if (!exists(i)) i = locked();
        ModelDeal memory d = deals[i];
        uint256 without = bestExit(d);
        send(planRelease(i, roll(3) == 0));
        uint256 with_ = isClosed(deals[i].status) ? balanceOf(d.terms.provider) : bestExit(deals[i]);
        assertGe(with_, without, "I32");
    }

    function releasesAClaim(uint256 seed) external acting(seed) {
        uint256 i = claimed();
        uint256 without = bestExit(deals[i]);
        send(planRelease(i, roll(3) == 0));
        address who = deals[i].terms.provider;
        assertGe(isClosed(deals[i].status) ? balanceOf(who) : bestExit(deals[i]), without, "I32");
    }

    /// @dev The provider's balance after cancelling, or of a claim after its deadline.
    function bestExit(ModelDeal memory d) private returns (uint256) {
        address who = d.terms.provider;
        if (isClaimed(d)) {
            return balanceIf(Call(who, abi.encodeCall(IMoltEscrow.finalize, (d.terms))), d.deadline, who);
        }
        return balanceIf(Call(who, abi.encodeCall(IMoltEscrow.cancelDeal, (d.terms, 0, ""))), 0, who);
    }

    function stops(uint256 seed) external acting(seed) {
        uint256 i = find(isStoppableNow);
        while (!exists(i)) {
            open();
            i = find(isStoppableNow);
        }
        send(planStop(i));
    }

    function disputes(uint256 seed) external acting(seed) {
        freshDispute();
    }

    function concedes(uint256 seed) external acting(seed) {
        send(planConcede(disputed(), roll(2) == 0));
    }

    function settles(uint256 seed) external acting(seed) {
        uint256 kind = roll(3);
        send(planSettle(kind == 0 ? locked() : kind == 1 ? claimed() : disputed()));
    }

    // ---------------------------------------------------------------- providers, agents, attestors

    function claims(uint256 seed) external acting(seed) {
        send(planClaim(attestable()));
    }

    function claimsUnattested(uint256 seed) external acting(seed) {
        claimedUnattested();
    }

    function claimedUnattested() private returns (uint256 i) {
        i = locked();
        waitUntil(rollWithin(deals[i].endsAt, deals[i].deadline - 1));
        send(planClaimUnattested(i));
    }

    function cancelsDeal(uint256 seed) external acting(seed) {
        uint256 i = find(isLocked);
        if (!exists(i)) i = locked();
        send(planCancelDeal(i));
    }

    function cancelsAnExcusedDeal(uint256 seed) external acting(seed) {
        uint256 i = find(isStoppableNow);
        if (!exists(i)) return open();
        send(planStop(i));
        send(planCancelDeal(i));
    }

    /// @dev Anyone, when the deadline has come.
    function finalizes(uint256 seed) external acting(seed) {
        uint256 kind = roll(5);
        uint256 i = find(isDue);
        if (kind == 0 && live.length != 0) i = live[roll(live.length)];
        if (kind == 1) i = claimed();
        if (kind == 2) i = disputed();
        if (kind == 3) i = claimedUnattested();
        if (!exists(i)) i = locked();
        waitUntil(deals[i].deadline + roll(2));
        send(planFinalize(i));
    }

    // ---------------------------------------------------------------- arbiters

    function rules(uint256 seed) external acting(seed) {
        uint256 i = find(isRulableByCallNow);
        if (!exists(i)) i = disputed();
        if (deals[i].policy.arbiter == arbiter) send(planResolve(i));
        else rulesByPanel(i);
    }

    function rulesByPanel(uint256 i) private {
        ModelDeal memory d = deals[i];
        uint256 units = rollWithin(d.paid, d.claim);
        uint40 deadline = someDeadline();
        bytes32 ruling = Digests.typed(
            Digests.domain("PanelArbiter", address(panel)), Digests.ruling(address(escrow), ids[i], units, deadline)
        );
        uint256 first = roll(2);
        bytes memory sigs =
            bytes.concat(signCompact(panelists[first], ruling), signCompact(panelists[first + 1], ruling));
        count(Step.RESOLVE_BY_PANEL);
        recordRuling(i, d, units);
        panel.rule(escrow, deals[i].terms, uint40(units), deadline, sigs);
    }

    // ---------------------------------------------------------------- relayer

    /// @dev A skipping batch of good items and bad ones: the good ones happen, the bad ones leave their refusal.
    function sendsABatch(uint256 seed) external acting(seed) {
        batching = true;
        uint256 length = 1 + roll(8);
        bytes[] memory calls = new bytes[](length);
        bytes[] memory refusals = new bytes[](length);
        for (uint256 j = 0; j < length; j++) {
            if (roll(3) == 0) {
                Bad memory b = planBad(roll(KINDS));
                calls[j] = b.call.data;
                refusals[j] = abi.encode(b.code, b.actual, b.limit);
                itemsRefused++;
                count(Step.BATCH_ITEM_REFUSED);
            } else {
                calls[j] = planItem().data;
                count(Step.BATCH_ITEM_DONE);
            }
        }
        vm.recordLogs();
        send(Call(relayer, abi.encodeCall(IMoltEscrow.multicall, (calls, true))));
        batching = false;
        readRefusals(refusals);
    }

    /// @dev Every refusal that was foreseen is in the log, at its place, and no other one.
    function readRefusals(bytes[] memory refusals) private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 j = 0; j < logs.length; j++) {
            if (logs[j].topics[0] != IMoltEscrow.ItemRefused.selector) continue;
            bytes memory foreseen = refusals[uint256(logs[j].topics[1])];
            assertEq(logs[j].data, foreseen, "another refusal");
            refusalsSeen++;
        }
    }

    function planItem() private returns (Call memory) {
        uint256 kind = roll(12);
        uint256 i = deals.length;
        if (kind == 0 && (i = find(isReleasable)) != deals.length) return planRelease(i, roll(3) == 0);
        if (kind == 1 && (i = find(isAttestableNow)) != deals.length) return planClaim(i);
        if (kind == 2 && (i = find(isClaimableUnattestedNow)) != deals.length) return planClaimUnattested(i);
        if (kind == 3 && (i = find(isDisputableNow)) != deals.length) return planDispute(i);
        if (kind == 4 && (i = find(isRulableByCallNow)) != deals.length) return planResolve(i);
        if (kind == 5 && (i = find(isRulableNow)) != deals.length) return planConcede(i, roll(2) == 0);
        if (kind == 6 && (i = find(isStoppableNow)) != deals.length) return planStop(i);
        if (kind == 7 && (i = find(isLocked)) != deals.length) return planCancelDeal(i);
        if (kind == 8 && (i = find(isAny)) != deals.length) return planSettle(i);
        if (kind == 9 && (i = find(isDue)) != deals.length) return planFinalize(i);
        if (kind == 10 && !paused() && live.length < MAX_LIVE) return planOpen();
        address who = someTrader();
        return planRequestWithdraw(who, rollWithin(0, due(who)));
    }

    /// @dev Without `skip` one bad item takes all of them back.
    function sendsABatchInVain(uint256 seed) external acting(seed) {
        Bad memory b = planBad(roll(KINDS));
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(IMoltEscrow.approve, (bytes32(action)));
        calls[1] = abi.encodeCall(IMoltEscrow.requestWithdraw, (relayer, 0, 0, ""));
        calls[2] = b.call.data;
        count(Step.BATCH_TAKEN_BACK);
        Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.multicall, (calls, false)));
        sendInVain(c, refusal(b.code, b.actual, b.limit));
        assertEq(escrow.approvedUntil(relayer, bytes32(action)), 0, "I16: an item stayed");
    }

    // ---------------------------------------------------------------- guardian and fee setter

    function pauses(uint256 seed) external acting(seed) {
        Call memory c = Call(holder[Role.GUARDIAN], abi.encodeCall(IMoltEscrow.pause, ()));
        uint256 rested = pausedUntil + 7 days;
        if (present() < rested) {
            sendInVain(c, refusal(Code.PAUSE_RESTING, present(), rested));
            if (roll(2) == 0) return;
            waitUntil(rested);
        }
        pausedUntil = present() + 72 hours;
        count(Step.PAUSE);
        send(c);
        if (roll(2) == 0) triesToOpen();
        if (live.length != 0) send(planSettle(live[roll(live.length)]));
    }

    function unpauses(uint256 seed) external acting(seed) {
        if (paused() && roll(3) == 0) return endPause();
        // no pause to end: nothing changes, see I19
        if (!paused()) send(Call(holder[Role.GUARDIAN], abi.encodeCall(IMoltEscrow.unpause, ())));
    }

    function endPause() private {
        if (roll(2) == 0) return waitUntil(pausedUntil);
        pausedUntil = present();
        count(Step.UNPAUSE);
        send(Call(holder[Role.GUARDIAN], abi.encodeCall(IMoltEscrow.unpause, ())));
    }

    function schedulesAFee(uint256 seed) external acting(seed) {
        uint256 next = rollWithin(0, 300);
        fee = feeNow();
        (nextFee, nextFeeFrom) = (next, present() + 7 days);
        count(Step.SCHEDULE_FEE);
        send(Call(holder[Role.FEE_SETTER], abi.encodeCall(IMoltEscrow.scheduleFee, (uint16(next)))));
    }

    function handsARoleOver(uint256 seed) external acting(seed) {
        Role role = Role(roll(2));
        if (pending[role] == address(0) || roll(3) == 0) {
            address to = roll(4) == 0 ? address(0) : someone(holders);
            Call memory c = Call(holder[role], abi.encodeCall(IMoltEscrow.offerRole, (role, to)));
            pending[role] = to;
            count(Step.OFFER_ROLE);
            return send(c);
        }
        Call memory taken = Call(pending[role], abi.encodeCall(IMoltEscrow.acceptRole, (role)));
        (holder[role], pending[role]) = (pending[role], address(0));
        count(Step.ACCEPT_ROLE);
        send(taken);
    }

    // ---------------------------------------------------------------- thief

    function triesSomething(uint256 seed) external acting(seed) {
        uint256 kind = roll(KINDS);
        if (kind == 2) send(planRelease(locked(), false)); // there is a voucher to replay
        if (kind == 5) attestable();
        while (kind == 6 && !exists(find(needsSeveral))) {
            open();
            ripen(deals.length - 1);
        }
        Bad memory b = planBad(kind);
        sendInVain(b.call, refusal(b.code, b.actual, b.limit));
    }

    function triesARole(uint256 seed) external acting(seed) {
        bytes[5] memory calls = [
            abi.encodeCall(IMoltEscrow.pause, ()),
            abi.encodeCall(IMoltEscrow.unpause, ()),
            abi.encodeCall(IMoltEscrow.offerRole, (Role.GUARDIAN, thief)),
            abi.encodeCall(IMoltEscrow.scheduleFee, (0)),
            abi.encodeCall(IMoltEscrow.offerRole, (Role.FEE_SETTER, thief))
        ];
        uint256 which = roll(5);
        Role role = which < 3 ? Role.GUARDIAN : Role.FEE_SETTER;
        count(Step.THIEF_WANTED_A_ROLE);
        bytes memory reason = refusal(Code.NOT_HOLDER, uint160(thief), uint160(holder[role]));
        sendInVain(Call(thief, calls[which]), reason);
        bytes memory notOffered = refusal(Code.NOT_HOLDER, uint160(thief), uint160(pending[role]));
        sendInVain(Call(thief, abi.encodeCall(IMoltEscrow.acceptRole, (role))), notOffered);
    }

    /// @dev Under one name he cannot be both sides.
    function tradesWithHimself(uint256 seed) external acting(seed) {
        (Match memory m,) = someMatch();
        (m.offer.provider, m.order.buyer) = (thief, thief);
        m = signedMatch(m.offer, m.order);
        count(Step.THIEF_TRADED_WITH_HIMSELF);
        Call memory c = Call(thief, abi.encodeCall(IMoltEscrow.open, (m)));
        sendInVain(c, refusal(Code.SELF_TRADE, uint160(thief), uint160(thief)));
    }

    /// @dev I31: the same order again, with an offer of his own beside it.
    function opensAnOrderTwice(uint256 seed) external acting(seed) {
        open();
        ModelDeal memory d = deals[deals.length - 1];
        if (mute[d.terms.buyer]) return;
        (Match memory m, Policy memory policy) = someMatch();
        m.offer.provider = accomplice;
        m.offer.gpuCount += 20;
        m.order.buyer = d.terms.buyer;
        m.order.slot = nextOrderSlot[d.terms.buyer] - 1;
        m.order.offerHash = 0;
        if (!orderUsed[m.order.buyer][m.order.slot]) return;
        ensureParties(m, policy);
        m = signedMatch(m.offer, m.order);
        count(Step.THIEF_OPENED_TWICE);
        Call memory c = Call(m.order.buyer, abi.encodeCall(IMoltEscrow.open, (m)));
        sendInVain(c, refusal(Code.ORDER_ALREADY_OPENED, m.order.slot, m.order.slot));
    }

    // ---------------------------------------------------------------- the end

    /// @dev I36: when the campaign is over, time alone ends every deal, everyone withdraws what is his, and nothing is
    /// left. Prints how often each step happened, and fails if one did not.
    function finish() external {
        begin(0);
        uint256 opened = deals.length;
        checkAllDeals();
        while (live.length != 0) {
            uint256 i = live[live.length - 1];
            waitUntil(deals[i].deadline);
            send(planFinalize(i));
        }
        checkAllDeals();
        for (uint256 j = 0; j < accounts.length; j++) {
            if (due(accounts[j]) == 0 || accounts[j] == address(panel)) continue;
            send(planRequestWithdraw(accounts[j], due(accounts[j])));
            waitUntil(purse[accounts[j]].unlockAt);
            send(planWithdraw(accounts[j]));
        }
        assertEq(token.balanceOf(address(escrow)), balanceOf(address(panel)), "I36: something is left");
        reportOn(opened);
    }

    function reportOn(uint256 opened) private view {
        report(string.concat(vm.toString(action), " calls, ", vm.toString(opened), " deals"));
    }
}
