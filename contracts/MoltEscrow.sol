// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20, SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {
    Account,
    Code,
    Deal,
    Group,
    IMoltEscrow,
    Match,
    Offer,
    Order,
    Policy,
    Side,
    Status,
    Terms
} from "./interfaces/IMoltEscrow.sol";
import {Deals} from "./libraries/Deals.sol";
import {Hashes} from "./libraries/Hashes.sol";
import {Lanes} from "./libraries/Lanes.sol";
import {Matching} from "./libraries/Matching.sol";
import {Money} from "./libraries/Money.sol";
import {Policies} from "./libraries/Policies.sol";
import {Signatures} from "./libraries/Signatures.sol";

/// @title MoltEscrow: the one contract that holds money
/// @dev Every verb has one shape: load, check, effect, event. Only deposit and withdraw touch the token; no verb calls
/// a user's code, so no user can make another one's call fail.
contract MoltEscrow is IMoltEscrow, EIP712, ReentrancyGuardTransient {
    using Lanes for uint128;
    using SafeERC20 for IERC20;

    uint256 private constant MAX_FEE_BPS = 300;
    uint256 private constant MAX_DELAY_SECONDS = 1 days;
    uint256 private constant MAX_TOKEN_DECIMALS = 18;
    uint256 private constant MAX_TOKEN_BALANCE = type(uint96).max;
    uint256 private constant MAX_CALLS = 200;

    IERC20 public immutable token;
    address public immutable feeRecipient;
    /// @notice Seconds between the request of a withdrawal and the withdrawal: longer than settlement takes.
    uint40 public immutable withdrawDelay;
    /// @notice Seconds between a cancel and its effect.
    uint40 public immutable cancelDelay;

    mapping(address account => Account) private _accounts;
    mapping(address maker => mapping(uint256 key => Group)) private _groups;
    mapping(bytes32 dealId => uint256) private _deals; // packed, see Deals
    mapping(bytes32 policyId => Policy) private _policies;
    uint16 private _feeBps;

    constructor(IERC20 token_, address feeRecipient_, uint16 feeBps_, uint40 withdrawDelay_, uint40 cancelDelay_)
        EIP712("MoltEscrow", "1")
    {
        _deployedWithin(IERC20Metadata(address(token_)).decimals(), 0, MAX_TOKEN_DECIMALS);
        _deployedWithin(uint160(feeRecipient_), 1, type(uint160).max);
        _deployedWithin(feeBps_, 0, MAX_FEE_BPS);
        _deployedWithin(withdrawDelay_, 1, MAX_DELAY_SECONDS);
        _deployedWithin(cancelDelay_, 1, MAX_DELAY_SECONDS);
        token = token_;
        feeRecipient = feeRecipient_;
        _feeBps = feeBps_;
        withdrawDelay = withdrawDelay_;
        cancelDelay = cancelDelay_;
    }

    // ---------------------------------------------------------------- money in and out

    /// @inheritdoc IMoltEscrow
    function deposit(address to, uint256 amount) external nonReentrant {
        _pull(msg.sender, to, amount);
    }

    /// @inheritdoc IMoltEscrow
    function depositWithPermit(address owner, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        nonReentrant
    {
        // Somebody may have used the permit first: then the allowance is there, and _pull says if it is not. But only
        // to the owner himself is an old allowance enough; for anyone else the permit must take effect in this call
        // (a token without permits may swallow the call and do nothing).
        IERC20Permit permitToken = IERC20Permit(address(token));
        uint256 nonce = msg.sender == owner ? 0 : permitToken.nonces(owner);
        try permitToken.permit(owner, address(this), amount, deadline, v, r, s) {} catch {}
        if (msg.sender != owner && permitToken.nonces(owner) != nonce + 1) {
            revert Refused(Code.PERMIT_REFUSED, nonce, nonce + 1);
        }
        _pull(owner, owner, amount);
    }

    /// @inheritdoc IMoltEscrow
    function requestWithdraw(address account, uint96 amount, uint40 deadline, bytes calldata sig) external {
        Account memory a = _accounts[account];
        _requireSigned(account, Hashes.requestWithdraw(account, amount, a.nonce, deadline), deadline, sig);
        if (amount > a.balance) revert Refused(Code.INSUFFICIENT_BALANCE, a.balance, amount);

        a.withdrawing = amount;
        a.unlockAt = uint40(block.timestamp) + withdrawDelay;
        if (sig.length != 0) a.nonce++;
        _accounts[account] = a;
        emit WithdrawRequested(account, amount, a.unlockAt);
    }

    /// @inheritdoc IMoltEscrow
    function withdraw(address account, address to, uint40 deadline, bytes calldata sig) external nonReentrant {
        Account memory a = _accounts[account];
        _requireSigned(account, Hashes.withdraw(account, to, a.nonce, deadline), deadline, sig);
        _requireReceiver(to);
        _requireDue(a.unlockAt);
        uint256 amount = Math.min(a.withdrawing, a.balance);
        _requireAmount(amount);

        a.balance -= uint96(amount);
        a.withdrawing = 0;
        if (sig.length != 0) a.nonce++;
        _accounts[account] = a;
        emit Withdrawn(account, to, amount);
        if (!token.trySafeTransfer(to, amount)) {
            revert Refused(Code.TOKEN_REFUSED, token.balanceOf(address(this)), amount);
        }
    }

    // ---------------------------------------------------------------- before a deal

    /// @inheritdoc IMoltEscrow
    function cancel(address account, Side side, uint64 group, uint40 deadline, bytes calldata sig) external {
        Group storage g = _groups[account][Lanes.key(side, group)];
        _requireSigned(account, Hashes.cancelOrders(account, side, group, deadline), deadline, sig);
        uint40 cutoffAt = g.cutoffAt;
        if (block.timestamp < cutoffAt) revert Refused(Code.CANCEL_PENDING, block.timestamp, cutoffAt);

        g.deadBefore = cutoffAt;
        cutoffAt = uint40(block.timestamp) + cancelDelay;
        g.cutoffAt = cutoffAt;
        emit OrdersCancelled(account, side, group, cutoffAt);
    }

    /// @inheritdoc IMoltEscrow
    function registerPolicy(Policy calldata policy, address[] calldata attestors) external returns (bytes32 policyId) {
        policyId = Hashes.policy(policy);
        if (_policies[policyId].arbiter != address(0)) return policyId; // nobody gains by doing it first
        (Code code, uint256 actual, uint256 limit) = Policies.refusal(policy, attestors);
        _refuseIf(code, actual, limit);

        _policies[policyId] = policy;
        emit PolicyRegistered(policyId, policy, attestors);
    }

    // ---------------------------------------------------------------- a deal

    /// @dev What `open` has read and worked out when all its checks are made.
    struct Opening {
        bytes32 offerHash;
        bytes32 orderHash;
        uint256 price;
        uint256 bond;
        Deal deal;
    }

    /// @inheritdoc IMoltEscrow
    function open(Match calldata m) external returns (bytes32 dealId) {
        Opening memory o;
        (Code code, uint256 actual, uint256 limit) = _openRefusal(o, m, msg.sender);
        _refuseIf(code, actual, limit);

        Terms memory terms = Matching.terms(m.offer, m.order, o.orderHash);
        dealId = _hashTypedDataV4(Hashes.terms(terms));
        Group storage offers = _offerGroup(terms.provider, terms.slot);
        offers.payload = offers.payload.take(terms.slot, terms.gpuCount);
        Group storage orders = _orderGroup(terms.buyer, m.order.slot);
        orders.payload = orders.payload.setOpened(m.order.slot);
        _accounts[terms.buyer].balance -= uint96(o.price);
        if (o.bond != 0) _accounts[terms.provider].balance -= uint96(o.bond);
        uint256 word = Deals.pack(o.deal);
        _deals[dealId] = word;
        _emitOpened(dealId, terms, word);
    }

    /// @inheritdoc IMoltEscrow
    function release(Terms calldata terms_, uint40 gpuSeconds, bytes calldata voucherSig) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        _requireUndisputed(deal);
        uint256 most = deal.status == Status.LOCKED ? Money.allocation(terms) : deal.claim;
        uint256 units = Math.min(gpuSeconds, most);
        _requireAbovePaid(deal, units);
        _requireSigner(terms.voucherSigner, _hashTypedDataV4(Hashes.voucher(dealId, gpuSeconds)), voucherSig);

        if (units == most) return _close(dealId, terms, deal, units, _bondDue(terms, deal, units), 0);
        (uint256 toProvider, uint256 fee) = Money.owed(terms, deal, units);
        deal.paid = uint40(units);
        _deals[dealId] = Deals.pack(deal);
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
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        (Code code, uint256 actual, uint256 limit) = _claimRefusal(terms, deal, gpuSeconds, resultDigest != 0);
        _refuseIf(code, actual, limit);
        bytes32 receipt = _hashTypedDataV4(Hashes.receipt(dealId, gpuSeconds, resultDigest, usageRoot));
        _requireSigner(terms.agent, receipt, agentSig);
        (code, actual, limit) = _quorumRefusal(terms, receipt, attestors, attestorSigs);
        _refuseIf(code, actual, limit);

        deal.status = Status.CLAIMED;
        deal.claim = gpuSeconds;
        deal.flags |= resultDigest == 0 ? Deals.ATTESTED : Deals.ATTESTED | Deals.EXCUSED;
        deal.deadline = uint40(block.timestamp) + _policies[terms.policyId].challenge;
        _deals[dealId] = Deals.pack(deal);
        _freeGpus(terms);
        emit DealClaimed(dealId, gpuSeconds, resultDigest, usageRoot, deal.deadline);
    }

    /// @inheritdoc IMoltEscrow
    function claimUnattested(Terms calldata terms_, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        _requireDue(deal.endsAt);
        (Code code, uint256 actual, uint256 limit) = _claimRefusal(terms, deal, gpuSeconds, true);
        _refuseIf(code, actual, limit);
        _requireSigned(terms.provider, Hashes.unattestedClaim(dealId, gpuSeconds, deadline), deadline, sig);

        deal.claim = gpuSeconds;
        _freeGpus(terms);
        _contest(dealId, terms, deal, deal.paid, 0);
    }

    /// @inheritdoc IMoltEscrow
    function dispute(Terms calldata terms_, uint40 counter, bytes32 evidence, uint40 deadline, bytes calldata sig)
        external
    {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        _requireStatus(deal, Status.CLAIMED);
        _requireBefore(deal.deadline);
        _requireWithin(Code.COUNTER_OUT_OF_RANGE, counter, deal.paid, deal.claim - 1);
        _requireSigned(terms.buyer, Hashes.dispute(dealId, counter, evidence, deadline), deadline, sig);

        _contest(dealId, terms, deal, counter, evidence);
    }

    /// @inheritdoc IMoltEscrow
    function resolve(Terms calldata terms_, uint40 gpuSeconds) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        Policy storage policy = _policies[terms.policyId];
        if (msg.sender != policy.arbiter) {
            revert Refused(Code.NOT_ARBITER, uint160(msg.sender), uint160(policy.arbiter));
        }
        _requireStatus(deal, Status.DISPUTED);
        _requireBefore(deal.deadline);
        _requireWithin(Code.RULING_OUT_OF_RANGE, gpuSeconds, deal.paid, deal.claim);

        uint256 share = Money.pot(terms, deal) * policy.arbiterShareBps / Money.BPS;
        _credit(msg.sender, share);
        emit DealRuled(dealId, msg.sender, gpuSeconds, share);
        _closeDispute(dealId, terms, deal, gpuSeconds, share);
    }

    /// @inheritdoc IMoltEscrow
    function concede(Terms calldata terms_, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        _requireStatus(deal, Status.DISPUTED);
        _requireBefore(deal.deadline);
        if (gpuSeconds != deal.claim) _requireWithin(Code.RULING_OUT_OF_RANGE, gpuSeconds, deal.paid, deal.paid);
        address loser = gpuSeconds == deal.claim ? terms.buyer : terms.provider;
        _requireSigned(loser, Hashes.concede(dealId, gpuSeconds, deadline), deadline, sig);

        _closeDispute(dealId, terms, deal, gpuSeconds, 0);
    }

    /// @inheritdoc IMoltEscrow
    function stop(Terms calldata terms_, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        _requireStatus(deal, Status.LOCKED);
        if (deal.flags & Deals.STOPPED != 0) revert Refused(Code.ALREADY_STOPPED, deal.endsAt, deal.endsAt);
        uint256 notice = uint256(deal.noticeMinutes) * 1 minutes; // not within uint8
        uint256 newEnd = Math.max(block.timestamp + notice, deal.openedAt + terms.commitment);
        if (newEnd >= deal.endsAt) revert Refused(Code.STOP_TOO_LATE, newEnd, deal.endsAt);
        _requireSigned(terms.buyer, Hashes.stop(dealId, deadline), deadline, sig);

        bool excused = block.timestamp < deal.openedAt + notice;
        deal.flags |= excused ? Deals.STOPPED | Deals.EXCUSED : Deals.STOPPED;
        deal.endsAt = uint40(newEnd);
        deal.deadline = deal.endsAt + _policies[terms.policyId].grace;
        _deals[dealId] = Deals.pack(deal);
        emit DealStopped(dealId, newEnd, deal.deadline, excused);
    }

    /// @inheritdoc IMoltEscrow
    function cancelDeal(Terms calldata terms_, uint40 deadline, bytes calldata sig) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        _requireStatus(deal, Status.LOCKED);
        _requireSigned(terms.provider, Hashes.cancelDeal(dealId, deadline), deadline, sig);

        _close(dealId, terms, deal, deal.paid, _bondDue(terms, deal, deal.paid), 0);
    }

    /// @inheritdoc IMoltEscrow
    function settle(
        Terms calldata terms_,
        uint40 gpuSeconds,
        uint40 until,
        bytes calldata buyerSig,
        bytes calldata providerSig
    ) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        bool disputed = deal.status == Status.DISPUTED;
        if (!disputed) _requireUndisputed(deal);
        _requireBefore(until);
        _requireWithin(Code.SPLIT_OUT_OF_RANGE, gpuSeconds, deal.paid, disputed ? deal.claim : Money.allocation(terms));
        bytes32 digest = _hashTypedDataV4(Hashes.split(dealId, gpuSeconds, until));
        _requireSigner(terms.buyer, digest, buyerSig);
        _requireSigner(terms.provider, digest, providerSig);

        uint256 bond = disputed ? Money.stake(terms, deal) : Money.bond(Money.price(terms), deal.bondBps);
        _close(dealId, terms, deal, gpuSeconds, bond, 0);
    }

    /// @inheritdoc IMoltEscrow
    function finalize(Terms calldata terms_) external {
        (bytes32 dealId, Terms memory terms, Deal memory deal) = _load(terms_);
        if (deal.status != Status.DISPUTED) _requireUndisputed(deal);
        _requireDue(deal.deadline);

        // without a quorum a claim is only the provider's word: it falls
        bool claimStands = deal.status == Status.CLAIMED || deal.flags & Deals.ATTESTED != 0;
        uint256 gpuSeconds = claimStands ? deal.claim : deal.paid;
        if (deal.status == Status.DISPUTED) return _closeDispute(dealId, terms, deal, gpuSeconds, 0);
        _close(dealId, terms, deal, gpuSeconds, _bondDue(terms, deal, gpuSeconds), 0);
    }

    // ---------------------------------------------------------------- many at once

    /// @inheritdoc IMoltEscrow
    function multicall(bytes[] calldata calls, bool skip) external {
        if (calls.length > MAX_CALLS) revert Refused(Code.TOO_MANY_CALLS, calls.length, MAX_CALLS);
        for (uint256 i = 0; i < calls.length; i++) {
            if (bytes4(calls[i]) == this.multicall.selector) revert Refused(Code.NESTED_MULTICALL, i, 0);
            (bool done, bytes memory reason) = address(this).delegatecall(calls[i]); // to itself only
            if (done) continue;
            (Code code, uint256 actual, uint256 limit) = _refusalIn(reason);
            if (!skip) revert Refused(code, actual, limit);
            emit ItemRefused(i, code, actual, limit);
        }
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IMoltEscrow
    function check(Match calldata m, address opener) external view returns (Code, uint256, uint256) {
        Opening memory o;
        return _openRefusal(o, m, opener);
    }

    /// @inheritdoc IMoltEscrow
    function dealIdOf(Terms calldata terms) external view returns (bytes32 dealId) {
        (dealId,,) = _load(terms);
    }

    /// @inheritdoc IMoltEscrow
    function accountOf(address account) external view returns (Account memory) {
        return _accounts[account];
    }

    /// @inheritdoc IMoltEscrow
    function dealOf(bytes32 dealId) external view returns (Deal memory) {
        return Deals.unpack(_deals[dealId]);
    }

    /// @inheritdoc IMoltEscrow
    function policyOf(bytes32 policyId) external view returns (Policy memory) {
        return _policies[policyId];
    }

    /// @inheritdoc IMoltEscrow
    function groupOf(address account, Side side, uint64 group) external view returns (Group memory) {
        return _groups[account][Lanes.key(side, group)];
    }

    /// @inheritdoc IMoltEscrow
    function gpusInUse(address provider, uint64 slot) external view returns (uint32) {
        return uint32(_offerGroup(provider, slot).payload.gpusInUse(slot));
    }

    /// @inheritdoc IMoltEscrow
    function feeBps() external view returns (uint16) {
        return _feeBps;
    }

    // ---------------------------------------------------------------- checks
    // A function named ...Refusal returns the first reason to refuse, or Code.NONE; one named _require... reverts.

    /// @dev All that `open` checks. Fills `o` on the way.
    function _openRefusal(Opening memory o, Match calldata m, address opener)
        private
        view
        returns (Code code, uint256 actual, uint256 limit)
    {
        o.offerHash = _hashTypedDataV4(Hashes.offer(m.offer));
        o.orderHash = _hashTypedDataV4(Hashes.order(m.order));
        (code, actual, limit) = Matching.refusal(m.offer, m.order, o.offerHash);
        if (code == Code.NONE) (code, actual, limit) = _offerRefusal(m.offer, m.order.gpuCount);
        if (code == Code.NONE) (code, actual, limit) = _orderRefusal(m.order, opener);
        if (code == Code.NONE) (code, actual, limit) = _policyRefusal(o, m.offer, m.order);
        if (code == Code.NONE) (code, actual, limit) = _fundsRefusal(o, m.offer, m.order);
        if (code == Code.NONE) {
            (code, actual, limit) = _signerRefusal(m.offer.provider, o.offerHash, m.offerSig, opener);
        }
        if (code == Code.NONE) {
            (code, actual, limit) = _signerRefusal(m.order.buyer, o.orderHash, m.orderSig, opener);
        }
    }

    function _offerRefusal(Offer calldata offer, uint256 gpuCount) private view returns (Code, uint256, uint256) {
        uint256 createdAt = offer.createdAt;
        if (block.timestamp < createdAt) return (Code.OFFER_NOT_YET_VALID, block.timestamp, createdAt);
        if (block.timestamp >= offer.expiresAt) return (Code.OFFER_EXPIRED, block.timestamp, offer.expiresAt);
        Group memory group = _offerGroup(offer.provider, offer.slot);
        uint256 aliveFrom = Lanes.aliveFrom(group, block.timestamp);
        if (createdAt < aliveFrom) return (Code.OFFER_CANCELLED, createdAt, aliveFrom);
        uint256 inUse = group.payload.gpusInUse(offer.slot) + gpuCount;
        if (inUse > offer.gpuCount) return (Code.CAPACITY_EXCEEDED, inUse, offer.gpuCount);
        return (Code.NONE, 0, 0);
    }

    function _orderRefusal(Order calldata order, address opener) private view returns (Code, uint256, uint256) {
        if (order.opener != address(0) && opener != order.opener && opener != order.buyer) {
            return (Code.NOT_OPENER, uint160(opener), uint160(order.opener));
        }
        uint256 createdAt = order.createdAt;
        if (block.timestamp < createdAt) return (Code.ORDER_NOT_YET_VALID, block.timestamp, createdAt);
        if (block.timestamp >= order.expiresAt) return (Code.ORDER_EXPIRED, block.timestamp, order.expiresAt);
        Group memory group = _orderGroup(order.buyer, order.slot);
        uint256 aliveFrom = Lanes.aliveFrom(group, block.timestamp);
        if (createdAt < aliveFrom) return (Code.ORDER_CANCELLED, createdAt, aliveFrom);
        if (group.payload.opened(order.slot)) return (Code.ORDER_ALREADY_OPENED, order.slot, order.slot);
        return (Code.NONE, 0, 0);
    }

    function _policyRefusal(Opening memory o, Offer calldata offer, Order calldata order)
        private
        view
        returns (Code, uint256, uint256)
    {
        Policy storage policy = _policies[offer.policyId];
        address arbiter = policy.arbiter;
        if (arbiter == address(0)) return (Code.POLICY_UNKNOWN, uint256(offer.policyId), 0);
        if (
            arbiter == order.buyer || arbiter == order.voucherSigner || arbiter == offer.provider
                || arbiter == offer.agent
        ) return (Code.ARBITER_IS_PARTY, uint160(arbiter), uint160(arbiter));
        uint16 fee = _feeBps;
        if (fee > offer.maxFeeBps) return (Code.FEE_ABOVE_LIMIT, fee, offer.maxFeeBps);

        Deal memory deal = o.deal;
        deal.status = Status.LOCKED;
        deal.feeBps = fee;
        deal.bondBps = policy.bondBps;
        deal.noticeMinutes = policy.noticeMinutes;
        deal.openedAt = uint40(block.timestamp);
        deal.endsAt = uint40(block.timestamp + order.durationHours * Money.SECONDS_PER_HOUR);
        deal.deadline = deal.endsAt + policy.grace;
        return (Code.NONE, 0, 0);
    }

    function _fundsRefusal(Opening memory o, Offer calldata offer, Order calldata order)
        private
        view
        returns (Code, uint256, uint256)
    {
        o.price = uint256(offer.pricePerGpuHour) * order.gpuCount * order.durationHours;
        uint256 balance = _accounts[order.buyer].balance;
        if (balance < o.price) return (Code.BUYER_BALANCE, balance, o.price);
        o.bond = Money.bond(o.price, o.deal.bondBps);
        if (o.bond != 0) {
            balance = _accounts[offer.provider].balance;
            if (balance < o.bond) return (Code.PROVIDER_BALANCE, balance, o.bond);
        }
        return (Code.NONE, 0, 0);
    }

    /// @dev A claim lies above what is paid and within the time that has passed; before the end it needs a result.
    function _claimRefusal(Terms memory terms, Deal memory deal, uint256 gpuSeconds, bool completed)
        private
        view
        returns (Code, uint256, uint256)
    {
        uint256 endsAt = deal.endsAt;
        if (deal.status != Status.LOCKED) {
            return (Code.WRONG_STATUS, uint256(deal.status), uint256(Status.LOCKED));
        }
        if (block.timestamp >= deal.deadline) return (Code.TOO_LATE, block.timestamp, deal.deadline);
        if (gpuSeconds <= deal.paid) return (Code.NOT_ABOVE_PAID, gpuSeconds, deal.paid);
        uint256 elapsed = terms.gpuCount * (Math.min(block.timestamp, endsAt) - deal.openedAt);
        if (gpuSeconds > elapsed) return (Code.ABOVE_ELAPSED, gpuSeconds, elapsed);
        if (block.timestamp < endsAt && !completed) return (Code.NOT_COMPLETED, block.timestamp, endsAt);
        return (Code.NONE, 0, 0);
    }

    /// @dev At least `threshold` distinct members of the policy's set, none of them a party, signed the receipt.
    function _quorumRefusal(
        Terms memory terms,
        bytes32 receipt,
        address[] calldata attestors,
        bytes calldata attestorSigs
    ) private view returns (Code, uint256, uint256) {
        Policy storage policy = _policies[terms.policyId];
        uint256 threshold = policy.threshold;
        if (threshold == 0) return (Code.UNATTESTED_POLICY, 0, 1);
        bytes32 setHash = Policies.hashOf(attestors);
        if (setHash != policy.attestorsHash) {
            return (Code.ATTESTOR_SET, uint256(setHash), uint256(policy.attestorsHash));
        }
        if (attestorSigs.length < threshold * Signatures.COMPACT_BYTES) {
            return (Code.QUORUM, attestorSigs.length / Signatures.COMPACT_BYTES, threshold);
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

    /// @dev An empty signature means that the signer himself makes the call.
    function _signerRefusal(address signer, bytes32 digest, bytes calldata sig, address caller)
        private
        pure
        returns (Code, uint256, uint256)
    {
        address found = sig.length == 0 ? caller : Signatures.recover(digest, sig);
        if (found != signer || found == address(0)) return (Code.BAD_SIGNATURE, uint160(found), uint160(signer));
        return (Code.NONE, 0, 0);
    }

    function _requireSigner(address signer, bytes32 digest, bytes calldata sig) private view {
        (Code code, uint256 actual, uint256 limit) = _signerRefusal(signer, digest, sig, msg.sender);
        _refuseIf(code, actual, limit);
    }

    /// @dev For requests that lapse: the deadline binds the signature, not the signer's own call.
    function _requireSigned(address account, bytes32 structHash, uint256 deadline, bytes calldata sig) private view {
        if (sig.length != 0 && block.timestamp >= deadline) {
            revert Refused(Code.TOO_LATE, block.timestamp, deadline);
        }
        _requireSigner(account, _hashTypedDataV4(structHash), sig);
    }

    function _requireStatus(Deal memory deal, Status needed) private pure {
        if (deal.status != needed) revert Refused(Code.WRONG_STATUS, uint256(deal.status), uint256(needed));
    }

    function _requireBefore(uint256 deadline) private view {
        if (block.timestamp >= deadline) revert Refused(Code.TOO_LATE, block.timestamp, deadline);
    }

    function _requireWithin(Code code, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least) revert Refused(code, value, least);
        if (value > most) revert Refused(code, value, most);
    }

    function _requireUndisputed(Deal memory deal) private pure {
        if (deal.status != Status.LOCKED && deal.status != Status.CLAIMED) {
            revert Refused(Code.WRONG_STATUS, uint256(deal.status), uint256(Status.LOCKED));
        }
    }

    function _requireAbovePaid(Deal memory deal, uint256 gpuSeconds) private pure {
        if (gpuSeconds <= deal.paid) revert Refused(Code.NOT_ABOVE_PAID, gpuSeconds, deal.paid);
    }

    function _requireDue(uint256 time) private view {
        if (block.timestamp < time) revert Refused(Code.TOO_EARLY, block.timestamp, time);
    }

    function _requireAmount(uint256 amount) private pure {
        if (amount == 0) revert Refused(Code.ZERO_AMOUNT, 0, 1);
    }

    function _requireReceiver(address to) private view {
        if (to == address(0) || to == address(this)) revert Refused(Code.BAD_RECEIVER, uint160(to), 0);
    }

    function _refuseIf(Code code, uint256 actual, uint256 limit) private pure {
        if (code != Code.NONE) revert Refused(code, actual, limit);
    }

    // ---------------------------------------------------------------- effects

    function _load(Terms calldata terms_) private view returns (bytes32 dealId, Terms memory terms, Deal memory deal) {
        bytes32 structHash;
        (terms, structHash) = Hashes.loadTerms(terms_);
        dealId = _hashTypedDataV4(structHash);
        deal = Deals.unpack(_deals[dealId]);
    }

    /// @dev The bond that goes back to the provider of a deal that closes at `gpuSeconds` without a dispute.
    function _bondDue(Terms memory terms, Deal memory deal, uint256 gpuSeconds) private pure returns (uint256) {
        if (deal.flags & Deals.EXCUSED != 0) return Money.bond(Money.price(terms), deal.bondBps);
        return Money.bondEarned(terms, deal, gpuSeconds);
    }

    /// @dev Settle all that is not contested between `counter` and the claim, and leave the rest to the arbiter.
    function _contest(bytes32 dealId, Terms memory terms, Deal memory deal, uint40 counter, bytes32 evidence) private {
        uint256 before = Money.held(terms, deal);
        (uint256 toProvider, uint256 fee) = Money.owed(terms, deal, counter);
        toProvider += Money.bondEarned(terms, deal, counter);
        if (deal.flags & Deals.EXCUSED != 0) {
            toProvider += Money.bond(Money.price(terms), deal.bondBps) - Money.bondEarned(terms, deal, deal.claim);
        }
        deal.status = Status.DISPUTED;
        deal.paid = counter;
        deal.deadline = uint40(block.timestamp) + _policies[terms.policyId].arbitration;
        uint256 stake = deal.flags & Deals.ATTESTED != 0 ? Money.stake(terms, deal) : 0;
        uint256 toBuyer = before + stake - Money.held(terms, deal) - toProvider - fee;

        _deals[dealId] = Deals.pack(deal);
        _credit(terms.provider, toProvider);
        _credit(feeRecipient, fee);
        _credit(terms.buyer, toBuyer);
        uint256 balance = _accounts[terms.buyer].balance;
        if (balance < stake) revert Refused(Code.BUYER_BALANCE, balance, stake);
        _accounts[terms.buyer].balance = uint96(balance - stake);
        emit DealDisputed(dealId, counter, deal.claim, evidence, stake, deal.deadline, toProvider, fee, toBuyer);
    }

    /// @dev The stakes, less the arbiter's share, are split as the ruling splits the bond at stake, not the GPU-seconds:
    /// the bond has a step, and a claim up to it must bring no more than the truth.
    function _closeDispute(bytes32 dealId, Terms memory terms, Deal memory deal, uint256 gpuSeconds, uint256 share)
        private
    {
        uint256 stake = Money.stake(terms, deal);
        uint256 earned = Money.bondEarned(terms, deal, gpuSeconds) - Money.bondEarned(terms, deal, deal.paid);
        uint256 won = stake == 0 ? 0 : (Money.pot(terms, deal) - share) * earned / stake;
        _close(dealId, terms, deal, gpuSeconds, won, share);
    }

    /// @dev Raise what is paid to `gpuSeconds`, give the provider his part of bond or stakes, the buyer all the rest but
    /// the arbiter's share.
    function _close(
        bytes32 dealId,
        Terms memory terms,
        Deal memory deal,
        uint256 gpuSeconds,
        uint256 bond,
        uint256 share
    ) private {
        (uint256 toProvider, uint256 fee) = Money.owed(terms, deal, gpuSeconds);
        toProvider += bond;
        uint256 toBuyer = Money.held(terms, deal) - toProvider - fee - share;
        if (deal.status == Status.LOCKED) _freeGpus(terms);

        deal.status = gpuSeconds == 0 ? Status.REFUNDED : Status.RELEASED;
        deal.paid = uint40(gpuSeconds);
        _deals[dealId] = Deals.pack(deal);
        _credit(terms.provider, toProvider);
        _credit(feeRecipient, fee);
        _credit(terms.buyer, toBuyer);
        emit DealClosed(dealId, deal.status, gpuSeconds, toProvider, fee, toBuyer);
    }

    function _freeGpus(Terms memory terms) private {
        Group storage group = _offerGroup(terms.provider, terms.slot);
        group.payload = group.payload.give(terms.slot, terms.gpuCount);
    }

    function _offerGroup(address provider, uint64 slot) private view returns (Group storage) {
        return _groups[provider][Lanes.key(Side.OFFERS, Lanes.offerGroup(slot))];
    }

    function _orderGroup(address buyer, uint64 slot) private view returns (Group storage) {
        return _groups[buyer][Lanes.key(Side.ORDERS, Lanes.orderGroup(slot))];
    }

    /// @dev Cannot overflow: all balances together stay within MAX_TOKEN_BALANCE.
    function _credit(address account, uint256 amount) private {
        if (amount != 0) _accounts[account].balance += uint96(amount);
    }

    /// @dev Take exactly `amount` from `from` and credit it to `to`. The callers hold the reentrancy guard, so the
    /// token balance can change by nothing else of ours in between.
    function _pull(address from, address to, uint256 amount) private {
        _requireAmount(amount);
        _requireReceiver(to);
        uint256 before = token.balanceOf(address(this));
        if (!token.trySafeTransferFrom(from, address(this), amount)) {
            uint256 movable = Math.min(token.allowance(from, address(this)), token.balanceOf(from));
            revert Refused(Code.TOKEN_REFUSED, movable, amount);
        }
        uint256 balance = token.balanceOf(address(this));
        uint256 received = balance < before ? 0 : balance - before;
        if (received != amount) revert Refused(Code.INEXACT_TRANSFER, received, amount);
        if (balance > MAX_TOKEN_BALANCE) revert Refused(Code.TOKEN_CAP, balance, MAX_TOKEN_BALANCE);

        _accounts[to].balance += uint96(amount);
        emit Deposited(to, from, amount);
    }

    function _emitOpened(bytes32 dealId, Terms memory terms, uint256 word) private {
        emit DealOpened(
            dealId,
            terms.buyer,
            terms.provider,
            terms.voucherSigner,
            terms.agent,
            terms.pricePerGpuHour,
            terms.gpuCount,
            terms.duration,
            terms.commitment,
            terms.slot,
            terms.policyId,
            terms.orderHash,
            word
        );
    }

    function _deployedWithin(uint256 value, uint256 least, uint256 most) private pure {
        if (value < least) revert Refused(Code.DEPLOYMENT_OUT_OF_RANGE, value, least);
        if (value > most) revert Refused(Code.DEPLOYMENT_OUT_OF_RANGE, value, most);
    }

    /// @dev The refusal in a reverted call's data, or MALFORMED_CALL if there is none.
    function _refusalIn(bytes memory reason) private pure returns (Code, uint256, uint256) {
        uint256 code;
        uint256 actual;
        uint256 limit;
        assembly ("memory-safe") {
            code := mload(add(reason, 36))
            actual := mload(add(reason, 68))
            limit := mload(add(reason, 100))
        }
        bool refused = reason.length == 100 && bytes4(reason) == Refused.selector && code <= uint256(type(Code).max);
        return refused ? (Code(code), actual, limit) : (Code.MALFORMED_CALL, reason.length, 0);
    }
}
