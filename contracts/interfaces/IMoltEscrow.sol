// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @dev The types of everything that is signed, stored or refused. Amounts are base units of the one token; times
/// are Unix seconds of block time; usage is GPU-seconds (one GPU available for one second).

/// @notice A provider's signed GPU capacity. Offers that share a slot share one pool of GPUs.
struct Offer {
    address provider;
    address agent; // signs receipts only, which count only beside a quorum of attestors
    uint96 pricePerGpuHour;
    uint32 gpuCount;
    uint16 vramGb; // of each GPU
    uint32 features; // bit i = feature i of the catalogue
    bytes2 country; // ISO 3166-1 alpha-2, upper case; 0 = not stated
    bytes32 region; // lower-case ASCII, left-aligned; 0 = not stated
    bytes32 model; // keccak256 of the canonical model name
    uint16 availableHours; // longest duration of one deal
    uint16 minCommitmentHours; // shortest
    uint40 createdAt;
    uint40 expiresAt;
    uint16 maxFeeBps; // highest fee that the provider accepts
    uint64 slot; // group = slot >> 2, lane = slot & 3
    bytes32 policyId;
    bytes32 metadataHash;
}

/// @notice A buyer's signed request. It opens one deal, ever.
struct Order {
    address buyer;
    address voucherSigner; // signs vouchers only
    uint96 maxPricePerGpuHour;
    uint96 maxBudget; // compared with price x GPUs x hours
    uint32 gpuCount; // exact
    uint16 minVramGb;
    uint32 features; // all of these bits are required
    bytes2 country; // 0 = any
    bytes32 region; // 0 = any
    bytes32 model; // 0 = any
    uint16 durationHours; // exact
    uint40 createdAt;
    uint40 expiresAt;
    uint64 slot; // one-shot: group = slot >> 7, bit = slot & 127
    bytes32 policyId;
    bytes32 offerHash; // 0 = any offer that fits
    address opener; // 0 = anyone may open
    bytes32 jobSpecHash;
}

/// @notice A pair that fits, with both signatures: all that it takes to open a deal.
struct Match {
    Offer offer;
    Order order;
    bytes offerSig;
    bytes orderSig;
}

/// @notice What a deal is about. Not stored: callers resend it, and its EIP-712 hash is the deal's id.
/// @dev A pure function of offer and order: an opening that is mined again keeps its id.
struct Terms {
    address buyer;
    address voucherSigner;
    address provider;
    address agent;
    uint96 pricePerGpuHour;
    uint32 gpuCount;
    uint32 duration; // seconds
    uint32 commitment; // seconds
    uint64 slot; // of the offer
    bytes32 policyId;
    bytes32 orderHash;
}

/// @notice Judge, attestors, windows and bond of a deal; both sides sign its id, the hash of this struct.
struct Policy {
    address arbiter;
    uint16 bondBps; // of the full price; the provider's stake on delivering it
    uint32 challenge; // seconds in which the buyer may contest a claim
    uint32 grace; // seconds after the end in which the provider may claim
    uint8 noticeMinutes; // between a stop and its effect; also the tolerated start-up time
    uint8 threshold; // attestors needed for a claim; 0 = claims are never attested
    uint32 arbitration; // seconds in which the arbiter may rule
    uint16 arbiterShareBps; // of the stakes, for a ruling
    bytes32 attestorsHash; // keccak256(abi.encode(address[] sorted ascending))
}

enum Status {
    NONE,
    LOCKED,
    CLAIMED,
    DISPUTED,
    RELEASED, // closed, something was paid
    REFUNDED // closed, nothing was paid
}

enum Side {
    OFFERS,
    ORDERS
}

enum Role {
    GUARDIAN, // may pause openings, for a while
    FEE_SETTER // may announce another fee
}

/// @notice All that changes in a deal: one storage word, see Deals.
struct Deal {
    Status status;
    uint8 flags; // see Deals
    uint16 feeBps;
    uint16 bondBps;
    uint40 openedAt;
    uint40 endsAt;
    uint40 deadline; // of the present status; finalize is due from this second on
    uint40 paid; // GPU-seconds paid so far
    uint40 claim; // GPU-seconds claimed
    uint8 noticeMinutes;
}

struct Account {
    uint96 balance;
    uint96 withdrawing; // the marked part of the balance; deals may still spend it until it is withdrawn
    uint40 unlockAt;
    uint24 nonce; // of the next request to move the balance: how many there were
}

/// @notice One word per group of a maker's slots.
struct Group {
    uint128 payload; // offers: GPUs in use, 4 lanes of uint32; orders: 128 bits, set once opened
    uint40 deadBefore; // messages created before this second are dead
    uint40 cutoffAt; // from this second on, messages created before it are dead
}

/// @notice What the roles have set: one word. The fee of open deals is their own.
struct Config {
    uint16 feeBps; // of what providers are paid, until nextFeeFrom
    uint16 nextFeeBps; // from nextFeeFrom on
    uint40 nextFeeFrom;
    uint40 pausedUntil; // no deal opens before this second
}

/// @notice Who holds a role, and to whom he wants to hand it over (0 = nobody).
struct Holder {
    address holder;
    address pending;
}

/// @notice Why a call was refused. `actual` is what was found, `limit` what it had to meet.
enum Code {
    NONE,
    // the call
    WRONG_STATUS, // status found, (first) status needed
    TOO_EARLY, // block time, first second at which it may be done
    TOO_LATE, // block time, first second at which it may no longer be done
    BAD_SIGNATURE, // address recovered (0 = none), address needed
    MALFORMED_CALL, // size of the revert data; an item of a multicall failed without a code
    NESTED_MULTICALL, // position of the item, 0
    TOO_MANY_CALLS, // items, most allowed
    BATCH_GAS, // gas that is left, gas needed to give the next item its full share
    DEPLOYMENT_OUT_OF_RANGE, // a value given to the constructor, bound broken
    // deposit and withdraw
    ZERO_AMOUNT, // 0, 1
    TOKEN_REFUSED, // tokens that could be moved (least of allowance and balance), tokens asked for
    INEXACT_TRANSFER, // tokens that arrived, tokens asked for
    TOKEN_CAP, // the contract's token balance after it, most allowed
    PERMIT_REFUSED, // the permit nonce before the call, the nonce needed after it
    INSUFFICIENT_BALANCE, // balance, amount
    BAD_RECEIVER, // address given, 0
    // roles
    NOT_HOLDER, // caller, the role's holder (to accept it: the one it is handed to)
    PAUSE_RESTING, // block time, first second at which a pause may begin
    FEE_OUT_OF_RANGE, // fee in bps, most allowed
    // cancel
    CANCEL_PENDING, // block time, second at which the pending one takes effect
    // policies
    POLICY_ARBITER, // 0, 1
    POLICY_BOND, // value, bound broken (so for the next five)
    POLICY_CHALLENGE,
    POLICY_GRACE,
    POLICY_NOTICE,
    POLICY_ARBITRATION,
    POLICY_ARBITER_SHARE,
    POLICY_THRESHOLD, // threshold, attestors
    POLICY_ATTESTOR_COUNT, // attestors, most allowed
    POLICY_ATTESTOR_ORDER, // an attestor, the one before it
    POLICY_ATTESTORS, // hash of the attestors given, hash in the policy
    POLICY_UNKNOWN, // policy id, 0
    // open: do offer and order fit
    SELF_TRADE, // provider, buyer
    OFFER_MISMATCH, // hash of the offer, hash in the order
    POLICY_MISMATCH, // policy of the offer, of the order
    PRICE_ZERO, // 0, 1
    PRICE_ABOVE_LIMIT, // price, limit
    BUDGET_EXCEEDED, // price x GPUs x hours, budget
    GPU_COUNT_ZERO, // 0, 1
    VRAM_BELOW_MINIMUM, // GB offered, GB needed
    FEATURES_MISSING, // bits offered, bits needed
    COUNTRY_MISMATCH, // offered, needed
    REGION_MISMATCH, // offered, needed
    MODEL_MISMATCH, // offered, needed
    DURATION_OUT_OF_RANGE, // hours, bound broken
    DURATION_BELOW_COMMITMENT, // hours, commitment
    DURATION_ABOVE_AVAILABLE, // hours, hours available
    ALLOCATION_TOO_LARGE, // GPU-seconds, most allowed
    AGENT_ZERO, // 0, 1
    VOUCHER_SIGNER_FORBIDDEN, // voucher signer, the address it may not be
    // open: may it be done now
    PAUSED, // block time, first second at which deals open again
    NOT_OPENER, // opener, opener needed
    OFFER_NOT_YET_VALID, // block time, created at
    OFFER_EXPIRED, // block time, expires at
    OFFER_CANCELLED, // created at, cancelled before
    ORDER_NOT_YET_VALID,
    ORDER_EXPIRED,
    ORDER_CANCELLED,
    ORDER_ALREADY_OPENED, // slot, slot
    CAPACITY_EXCEEDED, // GPUs in use after it, GPUs of the offer
    ARBITER_IS_PARTY, // arbiter, arbiter
    FEE_ABOVE_LIMIT, // fee in bps, limit of the offer
    BUYER_BALANCE, // balance, price of the allocation (in a dispute: the stake)
    PROVIDER_BALANCE, // balance, bond
    // release and claim
    NOT_ABOVE_PAID, // GPU-seconds, GPU-seconds already paid
    ABOVE_ELAPSED, // GPU-seconds, GPU-seconds of the allocation so far
    NOT_COMPLETED, // block time, end; before it a receipt needs a result digest
    UNATTESTED_POLICY, // 0, 1
    ATTESTOR_SET, // hash of the attestors given, hash in the policy
    QUORUM, // signatures, threshold
    ATTESTOR_ORDER, // signer, the signer before it
    ATTESTOR_UNKNOWN, // signer, 0
    ATTESTOR_IS_PARTY, // signer, signer
    // stop, dispute, ruling and split
    ALREADY_STOPPED, // end, end
    STOP_TOO_LATE, // the end that the stop would set, the end as it is
    COUNTER_OUT_OF_RANGE, // GPU-seconds, bound broken
    RULING_OUT_OF_RANGE, // GPU-seconds, bound broken (the paid or the claimed ones)
    SPLIT_OUT_OF_RANGE // GPU-seconds, bound broken (the paid, or the allocated or claimed ones)
}

/// @title MoltEscrow: GPU deals as money
/// @notice Opens a deal from a provider's signed offer and a buyer's signed order, holds price and bond, and pays by
/// voucher or by attested claim. Nobody but its owner can move a balance, except along a deal its owner signed.
/// @dev Warning: the token must be a plain ERC-20: no fee on transfer, no rebasing. A deposit that does not arrive
/// exactly is refused, but a token that changes balances later breaks the books.
/// @dev Every `bytes sig`: 64 (EIP-2098) or 65 bytes, low s. Empty means that the signer is msg.sender, or has approved
/// the digest. The `deadline` beside it binds everybody but the signer's own call without a signature.
interface IMoltEscrow {
    // ---------------------------------------------------------------- errors and events

    /// @notice Why the contract says no. (Re-entry from the token meets OpenZeppelin's own error.)
    error Refused(Code code, uint256 actual, uint256 limit);

    /// @notice An item of a skipping multicall was refused and changed nothing.
    event ItemRefused(uint256 indexed index, Code code, uint256 actual, uint256 limit);

    event Deposited(address indexed account, address indexed from, uint256 amount);
    event WithdrawRequested(address indexed account, uint256 amount, uint256 unlockAt);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    event OrdersCancelled(address indexed account, Side side, uint64 group, uint256 cutoffAt);
    event DigestApproved(address indexed account, bytes32 indexed digest);
    event DigestRevoked(address indexed account, bytes32 indexed digest, uint256 until);
    event RoleOffered(Role indexed role, address holder, address pending);
    event RoleAccepted(Role indexed role, address holder);
    event OpeningsPaused(uint256 until);
    event FeeAnnounced(uint256 feeBps, uint256 from);
    event PolicyRegistered(bytes32 indexed policyId, Policy policy, address[] attestors);

    /// @notice With `buyer` and `provider`, the other fields are the deal's Terms: enough to finish it from the log
    /// alone. `deal` is the deal's word as stored.
    event DealOpened(
        bytes32 indexed dealId,
        address indexed buyer,
        address indexed provider,
        address voucherSigner,
        address agent,
        uint96 pricePerGpuHour,
        uint32 gpuCount,
        uint32 duration,
        uint32 commitment,
        uint64 slot,
        bytes32 policyId,
        bytes32 orderHash,
        uint256 deal
    );
    /// @notice A voucher paid `gpuSeconds` in all so far; the deal stays open.
    event DealPaid(bytes32 indexed dealId, uint256 gpuSeconds, uint256 toProvider, uint256 fee);
    event DealClaimed(
        bytes32 indexed dealId, uint256 gpuSeconds, bytes32 resultDigest, bytes32 usageRoot, uint256 deadline
    );
    /// @notice The buyer ends the deal at `endsAt`, earlier than agreed.
    event DealStopped(bytes32 indexed dealId, uint256 endsAt, uint256 deadline, bool excused);
    /// @notice A claim is contested, or lacks a quorum. `toProvider`, `fee` and `toBuyer` are what is settled already;
    /// `stake` is what the buyer put up beside the provider's (0 for an unattested claim).
    event DealDisputed(
        bytes32 indexed dealId,
        uint256 counter,
        uint256 gpuSeconds,
        bytes32 evidence,
        uint256 stake,
        uint256 deadline,
        uint256 toProvider,
        uint256 fee,
        uint256 toBuyer
    );
    /// @notice The arbiter ruled; `share` of the stakes is his.
    event DealRuled(bytes32 indexed dealId, address indexed arbiter, uint256 gpuSeconds, uint256 share);
    /// @notice The end of a deal. `toProvider` (bond included), `fee` and `toBuyer` are all that was still held.
    event DealClosed(
        bytes32 indexed dealId, Status status, uint256 gpuSeconds, uint256 toProvider, uint256 fee, uint256 toBuyer
    );

    // ---------------------------------------------------------------- money in and out

    /// @notice Move `amount` of the caller's tokens into the balance of `to`.
    function deposit(address to, uint256 amount) external;

    /// @notice Move `amount` of `owner`'s tokens into his own balance, by his ERC-2612 permit.
    /// @dev If somebody used the permit first, `owner` himself may still call this: the allowance is there. Anyone
    /// else needs the permit to take effect in this very call.
    function depositWithPermit(address owner, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Mark `amount` of the balance for withdrawal after the delay; replaces an earlier mark, 0 takes it back.
    /// @dev Until it is withdrawn, `open` may still spend it: a match made against the balance cannot be broken.
    function requestWithdraw(address account, uint96 amount, uint40 deadline, bytes calldata sig) external;

    /// @notice Pay the marked amount, or what is left of the balance if that is less, to `to`.
    function withdraw(address account, address to, uint40 deadline, bytes calldata sig) external;

    // ---------------------------------------------------------------- roles

    /// @notice Let no deal open for 72 hours, or until `unpause`. Nothing else stops. For the guardian, and not within
    /// 7 days after a pause.
    function pause() external;

    /// @notice End the pause now. For the guardian.
    function unpause() external;

    /// @notice Announce a fee for deals opened from 7 days on; replaces what was announced before. For the fee setter.
    function scheduleFee(uint16 feeBps) external;

    /// @notice Offer a role to `to`, who has to accept it; 0 takes the offer back. For its holder.
    function offerRole(Role role, address to) external;

    /// @notice Take over a role that was offered to the caller.
    function acceptRole(Role role) external;

    // ---------------------------------------------------------------- before a deal

    /// @notice Let the EIP-712 digest count as signed by the caller, wherever an empty signature is given. For wallets that
    /// cannot sign: a contract's own signature check could change its mind after a match.
    /// @dev Attestors' signatures come in one piece, so they cannot be approvals.
    function approve(bytes32 digest) external;

    /// @notice Take an approval back, `cancelDelay` seconds from now.
    function revoke(bytes32 digest) external;

    /// @notice Kill every offer (or order) of a group created before the cutoff, `cancelDelay` seconds from now.
    /// @dev What is signed names the group's present `cutoffAt` too: each signature works once.
    function cancel(address account, Side side, uint64 group, uint40 deadline, bytes calldata sig) external;

    /// @notice Store a policy under its hash. Anyone may; to do it again changes nothing.
    /// @param attestors distinct, sorted ascending; their hash must be the policy's.
    function registerPolicy(Policy calldata policy, address[] calldata attestors) external returns (bytes32 policyId);

    // ---------------------------------------------------------------- a deal

    /// @notice Open the deal that a match makes. It has no free parameter.
    /// @dev For the order's opener, the buyer, or anyone if the order names no opener.
    function open(Match calldata m) external returns (bytes32 dealId);

    /// @notice Pay up to `gpuSeconds` (cumulative) by a voucher. The full allocation, or the full claim, closes.
    function release(Terms calldata terms, uint40 gpuSeconds, bytes calldata voucherSig) external;

    /// @notice Claim `gpuSeconds` by a receipt that the agent and a quorum of the policy's attestors signed.
    /// @param attestors the policy's whole set.
    /// @param attestorSigs 64-byte (EIP-2098) signatures, one after the other, sorted by signer, ascending.
    function claim(
        Terms calldata terms,
        uint40 gpuSeconds,
        bytes32 resultDigest,
        bytes32 usageRoot,
        bytes calldata agentSig,
        address[] calldata attestors,
        bytes calldata attestorSigs
    ) external;

    /// @notice Claim `gpuSeconds` without a quorum, by the provider's own signature. Nobody is paid for silence here: the
    /// claim goes straight to the arbiter, and falls if he does not rule.
    function claimUnattested(Terms calldata terms, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external;

    /// @notice Contest a claim: pay `counter` GPU-seconds at once, and stake on the rest as the provider has.
    /// @dev For the buyer. The stake comes out of his balance, after what the claim leaves him.
    function dispute(Terms calldata terms, uint40 counter, bytes32 evidence, uint40 deadline, bytes calldata sig)
        external;

    /// @notice Rule on a dispute: any GPU-seconds from the paid to the claimed ones. For the arbiter.
    function resolve(Terms calldata terms, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external;

    /// @notice Give in: the provider to the paid GPU-seconds, the buyer to the claimed ones.
    function concede(Terms calldata terms, uint40 gpuSeconds, uint40 deadline, bytes calldata sig) external;

    /// @notice End the deal early, one notice (and not before the commitment) from now. For the buyer.
    function stop(Terms calldata terms, uint40 deadline, bytes calldata sig) external;

    /// @notice Give the deal up: what vouchers paid stays paid, the rest goes back. For the provider.
    function cancelDeal(Terms calldata terms, uint40 deadline, bytes calldata sig) external;

    /// @notice Close the deal at `gpuSeconds`, as buyer and provider agree; stakes go back to their owners.
    function settle(
        Terms calldata terms,
        uint40 gpuSeconds,
        uint40 until,
        bytes calldata buyerSig,
        bytes calldata providerSig
    ) external;

    /// @notice Close a deal whose deadline has passed: pay the claim, or without one what vouchers have paid. A dispute
    /// without a ruling ends as attested, or without a quorum as paid.
    function finalize(Terms calldata terms) external;

    // ---------------------------------------------------------------- many at once

    /// @notice Make several calls in one transaction, each in a frame of its own.
    /// @param skip true: a refused item changes nothing, emits ItemRefused, and the next one runs. Each item then gets
    /// 400,000 gas, no more and no less, so that neither an item nor a stingy sender can make another one fail.
    function multicall(bytes[] calldata calls, bool skip) external;

    // ---------------------------------------------------------------- views

    /// @notice What `open` would answer `opener`: Code.NONE if it would open.
    function check(Match calldata m, address opener) external view returns (Code code, uint256 actual, uint256 limit);

    /// @notice The id of the deal that has these terms.
    function dealIdOf(Terms calldata terms) external view returns (bytes32);

    function accountOf(address account) external view returns (Account memory);
    function dealOf(bytes32 dealId) external view returns (Deal memory);
    function policyOf(bytes32 policyId) external view returns (Policy memory);
    function groupOf(address account, Side side, uint64 group) external view returns (Group memory);
    /// @notice GPUs of `provider`'s slot that LOCKED deals hold.
    function gpusInUse(address provider, uint64 slot) external view returns (uint32);
    /// @notice Until when (exclusive) `account` lets `digest` count as signed.
    function approvedUntil(address account, bytes32 digest) external view returns (uint40);
    function config() external view returns (Config memory);
    /// @notice The fee of a deal that opens now.
    function feeBps() external view returns (uint16);
    function roleOf(Role role) external view returns (Holder memory);
}
