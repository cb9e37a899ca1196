// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {Accounts} from "./escrow/Accounts.sol";
import {Checks} from "./escrow/Checks.sol";
import {Openings} from "./escrow/Openings.sol";
import {Roles} from "./escrow/Roles.sol";
import {Account, Code, Deal, IMoltEscrow, Policy, Status, Terms} from "./interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "./libraries/Deals.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Money} from "./libraries/Money.sol";
import {Policies} from "./libraries/Policies.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title MoltEscrow: the one contract that holds money
/// @dev Every verb has one shape: load, check, effect, event. No verb calls a user's code, so no user can make another
/// one's call fail. Here is what happens to a deal once it is open; what comes before lies in escrow/: who agreed and
/// when (Checks), the roles (Roles), balances and the token (Accounts), from offer and order to a deal (Openings).
contract MoltEscrow is Openings {
    uint256 private constant MAX_CALLS = 200;
    uint256 private constant ITEM_GAS = 400_000; // enough for any verb

    address public immutable feeRecipient;

    constructor(
        IERC20 token_,
        address feeRecipient_,
        address guardian,
        address feeSetter,
        uint16 feeBps_,
        uint40 withdrawDelay_,
        uint40 cancelDelay_
    ) Checks(cancelDelay_) Accounts(token_, withdrawDelay_) Roles(guardian, feeSetter, feeBps_) {
        _requireWithin(Code.DEPLOYMENT_OUT_OF_RANGE, uint160(feeRecipient_), 1, type(uint160).max);
        feeRecipient = feeRecipient_;
    }

    // ---------------------------------------------------------------- delivered

    /// @inheritdoc IMoltEscrow
    function release(Terms calldata terms_, uint40 gpuSeconds, bytes calldata voucherSig) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireUndisputed(deal);
        uint256 most = deal.isIn(Status.LOCKED) ? Money.allocation(terms) : deal.claim();
        uint256 units = Math.min(gpuSeconds, most);
        if (units <= deal.paid()) revert Refused(Code.NOT_ABOVE_PAID, units, deal.paid());
        _requireSigner(terms.voucherSigner, _hashTypedDataV4(Hashes.voucher(dealId, gpuSeconds)), voucherSig);

        if (units == most) return _closeUndisputed(dealId, terms, deal, units);
        (uint256 toProvider, uint256 fee) = Money.owed(terms, deal, units);
        _deals[dealId] = deal.withPaid(units);
        _credit(terms.provider, toProvider);
        _credit(feeRecipient, fee);
        emit DealPaid(dealId, units, toProvider, fee);
    }

    /// @inheritdoc IMoltEscrow
    function claim(
        Terms calldata terms_,
        uint40 gpuSeconds,
        bytes32 resultDigest,
        bytes32 usageRoot,
        bytes calldata agentSig,
        address[] calldata attestors,
        bytes calldata attestorSigs
    ) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireClaimable(terms, deal, gpuSeconds);
        bool completed = resultDigest != 0;
        if (!completed && block.timestamp < deal.endsAt()) {
            revert Refused(Code.NOT_COMPLETED, block.timestamp, deal.endsAt());
        }
        bytes32 receipt = _hashTypedDataV4(Hashes.receipt(dealId, gpuSeconds, resultDigest, usageRoot));
        _requireSigner(terms.agent, receipt, agentSig);
        Policy storage policy = _policies[terms.policyId];
        (Code code, uint256 actual, uint256 limit) = _quorumRefusal(policy, terms, receipt, attestors, attestorSigs);
        _refuseIf(code, actual, limit);

        uint256 deadline = block.timestamp + policy.challenge;
        deal = deal.withStatus(Status.CLAIMED).withClaim(gpuSeconds).withDeadline(deadline);
        _deals[dealId] = deal.withFlag(completed ? Deals.ATTESTED | Deals.EXCUSED : Deals.ATTESTED);
        _freeGpus(terms);
        emit DealClaimed(dealId, gpuSeconds, resultDigest, usageRoot, deadline);
    }

    /// @inheritdoc IMoltEscrow
    function claimUnattested(Terms calldata terms_, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireStatus(deal, Status.LOCKED);
        _requireDue(deal.endsAt());
        _requireClaimable(terms, deal, gpuSeconds);
        _requireSigned(terms.provider, Hashes.unattestedClaim(dealId, gpuSeconds, deadline), deadline, sig);

        _freeGpus(terms);
        _contest(dealId, terms, deal.withClaim(gpuSeconds), Contest(deal.paid(), 0));
    }

    // ---------------------------------------------------------------- disputed

    /// @inheritdoc IMoltEscrow
    function dispute(Terms calldata terms_, uint40 counter, bytes32 evidence, uint40 deadline, bytes calldata sig)
        external
    {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireStatus(deal, Status.CLAIMED);
        _requireBefore(deal.deadline());
        _requireWithin(Code.COUNTER_OUT_OF_RANGE, counter, deal.paid(), deal.claim() - 1);
        _requireSigned(terms.buyer, Hashes.dispute(dealId, counter, evidence, deadline), deadline, sig);

        _contest(dealId, terms, deal, Contest(counter, evidence));
    }

    /// @inheritdoc IMoltEscrow
    function resolve(Terms calldata terms_, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireStatus(deal, Status.DISPUTED);
        _requireBefore(deal.deadline());
        _requireWithin(Code.RULING_OUT_OF_RANGE, gpuSeconds, deal.paid(), deal.claim());
        Policy storage policy = _policies[terms.policyId];
        address arbiter = policy.arbiter;
        bytes32 ruling = Hashes.ruling(address(this), dealId, gpuSeconds, deadline);
        _requireSigned(arbiter, ruling, deadline, sig);

        _closeDispute(dealId, terms, deal, Ruling(gpuSeconds, arbiter, policy.arbiterShareBps));
    }

    /// @inheritdoc IMoltEscrow
    function concede(Terms calldata terms_, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireStatus(deal, Status.DISPUTED);
        _requireBefore(deal.deadline());
        bool buyerGivesIn = gpuSeconds == deal.claim();
        if (!buyerGivesIn) _requireWithin(Code.RULING_OUT_OF_RANGE, gpuSeconds, deal.paid(), deal.paid());
        address loser = buyerGivesIn ? terms.buyer : terms.provider;
        _requireSigned(loser, Hashes.concede(dealId, gpuSeconds, deadline), deadline, sig);

        _closeDispute(dealId, terms, deal, Ruling(gpuSeconds, address(0), 0));
    }

    // ---------------------------------------------------------------- ended early, by agreement, or by time

    /// @inheritdoc IMoltEscrow
    function stop(Terms calldata terms_, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireStatus(deal, Status.LOCKED);
        uint256 endsAt = deal.endsAt();
        if (deal.has(Deals.STOPPED)) revert Refused(Code.ALREADY_STOPPED, endsAt, endsAt);
        uint256 notice = deal.noticeSeconds();
        uint256 newEnd = Math.max(block.timestamp + notice, deal.openedAt() + terms.commitment);
        if (newEnd >= endsAt) revert Refused(Code.STOP_TOO_LATE, newEnd, endsAt);
        _requireSigned(terms.buyer, Hashes.stop(dealId, deadline), deadline, sig);

        bool excused = block.timestamp < deal.openedAt() + notice;
        uint256 graceEnds = deal.deadline() - (endsAt - newEnd);
        deal = deal.withFlag(excused ? Deals.STOPPED | Deals.EXCUSED : Deals.STOPPED);
        _deals[dealId] = deal.withEndsAt(newEnd).withDeadline(graceEnds);
        emit DealStopped(dealId, newEnd, graceEnds, excused);
    }

    /// @inheritdoc IMoltEscrow
    function cancelDeal(Terms calldata terms_, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        _requireStatus(deal, Status.LOCKED);
        _requireSigned(terms.provider, Hashes.cancelDeal(dealId, deadline), deadline, sig);

        _closeUndisputed(dealId, terms, deal, deal.paid());
    }

    /// @inheritdoc IMoltEscrow
    function settle(
        Terms calldata terms_,
        uint40 gpuSeconds,
        uint40 until,
        bytes calldata buyerSig,
        bytes calldata providerSig
    ) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        bool disputed = deal.isIn(Status.DISPUTED);
        if (!disputed) _requireUndisputed(deal);
        _requireBefore(until);
        uint256 most = disputed ? deal.claim() : Money.allocation(terms);
        _requireWithin(Code.SPLIT_OUT_OF_RANGE, gpuSeconds, deal.paid(), most);
        bytes32 split = _hashTypedDataV4(Hashes.split(dealId, gpuSeconds, until));
        _requireSigner(terms.buyer, split, buyerSig);
        _requireSigner(terms.provider, split, providerSig);

        uint256 total = Money.price(terms);
        uint256 back = Money.part(total, deal.bondBps()); // the whole bond; in a dispute, each his stake
        total += back;
        if (disputed) {
            (, back, total) = Money.stakes(terms, deal, back);
            total += Money.due(terms, deal.claim());
        }
        _close(dealId, terms, deal, gpuSeconds, total, back);
    }

    /// @inheritdoc IMoltEscrow
    function finalize(Terms calldata terms_) external {
        (bytes32 dealId, Terms memory terms, DealWord deal) = _load(terms_);
        bool disputed = deal.isIn(Status.DISPUTED);
        if (!disputed) _requireUndisputed(deal);
        _requireDue(deal.deadline());

        // an unattested claim is only the provider's word: it falls
        uint256 gpuSeconds = deal.has(Deals.ATTESTED) ? deal.claim() : deal.paid();
        if (disputed) _closeDispute(dealId, terms, deal, Ruling(gpuSeconds, address(0), 0));
        else _closeUndisputed(dealId, terms, deal, gpuSeconds);
    }

    // ---------------------------------------------------------------- many at once

    /// @inheritdoc IMoltEscrow
    function multicall(bytes[] calldata calls, bool skip) external {
        if (calls.length > MAX_CALLS) revert Refused(Code.TOO_MANY_CALLS, calls.length, MAX_CALLS);
        for (uint256 i = 0; i < calls.length; i++) {
            (Code code, uint256 actual, uint256 limit) = _item(calls[i], i, skip);
            if (code == Code.NONE) continue;
            if (!skip) revert Refused(code, actual, limit);
            emit ItemRefused(i, code, actual, limit);
        }
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IMoltEscrow
    function dealIdOf(Terms calldata terms) external view returns (bytes32 dealId) {
        (dealId,,) = _load(terms);
    }

    /// @inheritdoc IMoltEscrow
    function dealOf(bytes32 dealId) external view returns (Deal memory) {
        return _deals[dealId].unpack();
    }

    // ---------------------------------------------------------------- checks

    function _requireStatus(DealWord deal, Status needed) private pure {
        if (!deal.isIn(needed)) revert Refused(Code.WRONG_STATUS, deal.status(), uint256(needed));
    }

    function _requireUndisputed(DealWord deal) private pure {
        if (!deal.isIn(Status.CLAIMED)) _requireStatus(deal, Status.LOCKED);
    }

    /// @dev A claim lies above what is paid and within the time that has passed.
    function _requireClaimable(Terms memory terms, DealWord deal, uint256 gpuSeconds) private view {
        _requireStatus(deal, Status.LOCKED);
        _requireBefore(deal.deadline());
        if (gpuSeconds <= deal.paid()) revert Refused(Code.NOT_ABOVE_PAID, gpuSeconds, deal.paid());
        uint256 elapsed = terms.gpuCount * (Math.min(block.timestamp, deal.endsAt()) - deal.openedAt());
        if (gpuSeconds > elapsed) revert Refused(Code.ABOVE_ELAPSED, gpuSeconds, elapsed);
    }

    /// @dev At least `threshold` distinct members of the policy's set, none of them a party, signed the receipt.
    function _quorumRefusal(
        Policy storage policy,
        Terms memory terms,
        bytes32 receipt,
        address[] calldata attestors,
        bytes calldata attestorSigs
    ) private view returns (Code, uint256, uint256) {
        uint256 threshold = policy.threshold;
        if (threshold == 0) return (Code.UNATTESTED_POLICY, 0, 1);
        bytes32 setHash = Policies.hashOf(attestors);
        if (setHash != policy.attestorsHash) {
            return (Code.ATTESTOR_SET, uint256(setHash), uint256(policy.attestorsHash));
        }
        uint256 count = attestorSigs.length / Signatures.COMPACT_BYTES;
        if (count < threshold || attestorSigs.length % Signatures.COMPACT_BYTES != 0) {
            return (Code.QUORUM, count, threshold);
        }
        address last = address(0);
        uint256 next = 0; // both lists ascend: one walk through the set finds every signer
        for (uint256 i = 0; i < attestorSigs.length; i += Signatures.COMPACT_BYTES) {
            address signer = Signatures.recover(receipt, attestorSigs[i:i + Signatures.COMPACT_BYTES]);
            if (signer <= last) return (Code.ATTESTOR_ORDER, uint160(signer), uint160(last));
            if (signer == terms.buyer || signer == terms.provider || signer == terms.agent) {
                return (Code.ATTESTOR_IS_PARTY, uint160(signer), uint160(signer));
            }
            while (next < attestors.length && attestors[next] < signer) next++;
            if (next == attestors.length || attestors[next] != signer) {
                return (Code.ATTESTOR_UNKNOWN, uint160(signer), 0);
            }
            last = signer;
        }
        return (Code.NONE, 0, 0);
    }

    // ---------------------------------------------------------------- effects

    function _load(Terms calldata terms_) private view returns (bytes32 dealId, Terms memory terms, DealWord deal) {
        bytes32 structHash;
        (terms, structHash) = Hashes.loadTerms(terms_);
        dealId = _hashTypedDataV4(structHash);
        deal = _deals[dealId];
    }

    struct Contest {
        uint256 counter;
        bytes32 evidence;
    }

    /// @dev Settle all that is not contested between the counter and the claim, and leave the rest to the arbiter.
    function _contest(bytes32 dealId, Terms memory terms, DealWord deal, Contest memory contest) private {
        (uint256 toProvider, uint256 fee) = Money.owed(terms, deal, contest.counter);
        deal = deal.withStatus(Status.DISPUTED).withPaid(contest.counter);
        deal = deal.withDeadline(block.timestamp + _policies[terms.policyId].arbitration);
        uint256 price = Money.price(terms);
        uint256 bond = Money.part(price, deal.bondBps());
        // the provider keeps of his bond what the counter earns; excused, all but his stake
        (uint256 back, uint256 stake, uint256 pot) = Money.stakes(terms, deal, bond);
        if (deal.has(Deals.EXCUSED)) back = bond - stake;
        uint256 toBuyer = price - Money.due(terms, deal.claim()) + bond - stake - back;
        uint256 buyersStake = pot - stake;
        toProvider += back;

        _deals[dealId] = deal;
        _credit(terms.provider, toProvider);
        _credit(feeRecipient, fee);
        Account storage buyer = _accounts[terms.buyer];
        uint256 balance = buyer.balance + toBuyer;
        if (balance < buyersStake) revert Refused(Code.BUYER_BALANCE, balance, buyersStake);
        buyer.balance = uint96(balance - buyersStake);
        emit DealDisputed(
            dealId, deal.paid(), deal.claim(), contest.evidence, buyersStake, deal.deadline(), toProvider, fee, toBuyer
        );
    }

    struct Ruling {
        uint256 gpuSeconds;
        address arbiter; // 0 = nobody ruled
        uint256 shareBps; // of the stakes, for the arbiter
    }

    /// @dev The stakes, less the arbiter's share, are split as the ruling splits the bond at stake, not the GPU-seconds:
    /// the bond has a step, and a claim up to it must bring no more than the truth.
    function _closeDispute(bytes32 dealId, Terms memory terms, DealWord deal, Ruling memory ruling) private {
        uint256 bond = Money.part(Money.price(terms), deal.bondBps());
        (uint256 earnedPaid, uint256 stake, uint256 pot) = Money.stakes(terms, deal, bond);
        if (ruling.arbiter != address(0)) {
            uint256 share = Money.part(pot, ruling.shareBps);
            pot -= share;
            _credit(ruling.arbiter, share);
            emit DealRuled(dealId, ruling.arbiter, ruling.gpuSeconds, share);
        }
        uint256 won = 0;
        if (stake != 0) {
            won = pot * (Money.earned(terms, deal, bond, ruling.gpuSeconds) - earnedPaid) / stake;
        }
        _close(dealId, terms, deal, ruling.gpuSeconds, Money.due(terms, deal.claim()) + pot, won);
    }

    /// @dev The bond goes back as far as `gpuSeconds` earn it; excused, whole.
    function _closeUndisputed(bytes32 dealId, Terms memory terms, DealWord deal, uint256 gpuSeconds) private {
        uint256 price = Money.price(terms);
        uint256 bond = Money.part(price, deal.bondBps());
        uint256 back = deal.has(Deals.EXCUSED) ? bond : Money.earned(terms, deal, bond, gpuSeconds);
        _close(dealId, terms, deal, gpuSeconds, price + bond, back);
    }

    /// @dev Raise what is paid to `gpuSeconds`, give the provider `back` of bond or stakes, and the buyer the rest.
    /// @param total price, bond and stakes that the deal holds, and what it has paid so far.
    function _close(bytes32 dealId, Terms memory terms, DealWord deal, uint256 gpuSeconds, uint256 total, uint256 back)
        private
    {
        (uint256 toProvider, uint256 fee) = Money.owed(terms, deal, gpuSeconds);
        toProvider += back;
        uint256 toBuyer = total - Money.due(terms, deal.paid()) - toProvider - fee;
        if (deal.isIn(Status.LOCKED)) _freeGpus(terms);

        Status status = gpuSeconds == 0 ? Status.REFUNDED : Status.RELEASED;
        _deals[dealId] = deal.withStatus(status).withPaid(gpuSeconds);
        _credit(terms.provider, toProvider);
        _credit(feeRecipient, fee);
        _credit(terms.buyer, toBuyer);
        emit DealClosed(dealId, status, gpuSeconds, toProvider, fee, toBuyer);
    }

    /// @dev Make one call of a multicall. A skipping one gives every item the same gas, and stops when it cannot: an item
    /// that is refused for want of gas has burnt its own share.
    function _item(bytes calldata call_, uint256 index, bool skip) private returns (Code, uint256, uint256) {
        if (bytes4(call_) == this.multicall.selector) return (Code.NESTED_MULTICALL, index, 0);
        uint256 left = gasleft();
        uint256 needed = ITEM_GAS * 64 / 63 + 20_000; // a call passes on 63 of 64 parts (EIP-150)
        if (skip && left < needed) revert Refused(Code.BATCH_GAS, left, needed);
        (bool done, bytes memory reason) = address(this).delegatecall{gas: skip ? ITEM_GAS : left}(call_); // to itself
        return done ? (Code.NONE, 0, 0) : _refusalIn(reason);
    }

    /// @dev The refusal in a reverted call's data, or MALFORMED_CALL if there is none. A token may forge any, but cannot
    /// make a reverted call look like one that worked.
    function _refusalIn(bytes memory reason) private pure returns (Code, uint256, uint256) {
        uint256 code;
        uint256 actual;
        uint256 limit;
        assembly ("memory-safe") {
            code := mload(add(reason, 36))
            actual := mload(add(reason, 68))
            limit := mload(add(reason, 100))
        }
        bool refused = reason.length == 100 && bytes4(reason) == Refused.selector;
        return refused && code != 0 && code <= uint256(type(Code).max)
            ? (Code(code), actual, limit)
            : (Code.MALFORMED_CALL, reason.length, 0);
    }
}
