// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Offer, Order, Policy, Side, Terms} from "../interfaces/IMoltEscrow.sol";

/// @title EIP-712 struct hashes of everything that is signed
/// @dev All members are static, so the type hash and the struct's ABI words are EIP-712's encodeData. Offer and order
/// are hashed as they came: a dirty bit changes the hash, and reading the member reverts.
library Hashes {
    bytes32 internal constant OFFER_TYPEHASH = keccak256(
        "Offer(address provider,address agent,uint96 pricePerGpuHour,uint32 gpuCount,uint16 vramGb,uint32 features,bytes2 country,bytes32 region,bytes32 model,uint16 availableHours,uint16 minCommitmentHours,uint40 createdAt,uint40 expiresAt,uint16 maxFeeBps,uint64 slot,bytes32 policyId,bytes32 metadataHash)"
    );
    bytes32 internal constant ORDER_TYPEHASH = keccak256(
        "Order(address buyer,address voucherSigner,uint96 maxPricePerGpuHour,uint96 maxBudget,uint32 gpuCount,uint16 minVramGb,uint32 features,bytes2 country,bytes32 region,bytes32 model,uint16 durationHours,uint40 createdAt,uint40 expiresAt,uint64 slot,bytes32 policyId,bytes32 offerHash,address opener,bytes32 jobSpecHash)"
    );
    bytes32 internal constant TERMS_TYPEHASH = keccak256(
        "Terms(address buyer,address voucherSigner,address provider,address agent,uint96 pricePerGpuHour,uint32 gpuCount,uint32 duration,uint32 commitment,uint64 slot,bytes32 policyId,bytes32 orderHash)"
    );
    bytes32 internal constant POLICY_TYPEHASH = keccak256(
        "Policy(address arbiter,uint16 bondBps,uint32 challenge,uint32 grace,uint8 noticeMinutes,uint8 threshold,uint32 arbitration,uint16 arbiterShareBps,bytes32 attestorsHash)"
    );
    bytes32 internal constant VOUCHER_TYPEHASH = keccak256("Voucher(bytes32 dealId,uint40 gpuSeconds)");
    bytes32 internal constant RECEIPT_TYPEHASH =
        keccak256("Receipt(bytes32 dealId,uint40 gpuSeconds,bytes32 resultDigest,bytes32 usageRoot)");
    bytes32 internal constant UNATTESTED_CLAIM_TYPEHASH =
        keccak256("UnattestedClaim(bytes32 dealId,uint40 gpuSeconds,uint40 deadline)");
    bytes32 internal constant SPLIT_TYPEHASH = keccak256("Split(bytes32 dealId,uint40 gpuSeconds,uint40 deadline)");
    bytes32 internal constant CONCEDE_TYPEHASH = keccak256("Concede(bytes32 dealId,uint40 gpuSeconds,uint40 deadline)");
    bytes32 internal constant DISPUTE_TYPEHASH =
        keccak256("Dispute(bytes32 dealId,uint40 counter,bytes32 evidence,uint40 deadline)");
    bytes32 internal constant STOP_TYPEHASH = keccak256("Stop(bytes32 dealId,uint40 deadline)");
    bytes32 internal constant CANCEL_DEAL_TYPEHASH = keccak256("CancelDeal(bytes32 dealId,uint40 deadline)");
    bytes32 internal constant CANCEL_ORDERS_TYPEHASH =
        keccak256("CancelOrders(address account,uint8 side,uint64 group,uint40 cutoffAt,uint40 deadline)");
    bytes32 internal constant REQUEST_WITHDRAW_TYPEHASH =
        keccak256("RequestWithdraw(address account,uint96 amount,uint24 nonce,uint40 deadline)");
    bytes32 internal constant WITHDRAW_TYPEHASH =
        keccak256("Withdraw(address account,address to,uint24 nonce,uint40 deadline)");
    bytes32 internal constant RULING_TYPEHASH =
        keccak256("Ruling(address escrow,bytes32 dealId,uint40 gpuSeconds,uint40 deadline)");

    function offer(Offer calldata o) internal pure returns (bytes32 hash) {
        bytes32 typeHash = OFFER_TYPEHASH;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, typeHash)
            calldatacopy(add(at, 0x20), o, 0x220) // 17 words
            hash := keccak256(at, 0x240)
        }
    }

    function order(Order calldata o) internal pure returns (bytes32 hash) {
        bytes32 typeHash = ORDER_TYPEHASH;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, typeHash)
            calldatacopy(add(at, 0x20), o, 0x240) // 18 words
            hash := keccak256(at, 0x260)
        }
    }

    function terms(Terms memory t) internal pure returns (bytes32) {
        return keccak256(abi.encode(TERMS_TYPEHASH, t));
    }

    /// @dev The terms as they came, and their hash. Dirty bits are not looked for here: they change the hash, and no
    /// deal has it.
    function loadTerms(Terms calldata c) internal pure returns (Terms memory t, bytes32 hash) {
        bytes32 typeHash = TERMS_TYPEHASH;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore(at, typeHash)
            t := add(at, 0x20)
            calldatacopy(t, c, 0x160) // 11 words
            hash := keccak256(at, 0x180)
            mstore(0x40, add(at, 0x180))
        }
    }

    function policy(Policy memory p) internal pure returns (bytes32) {
        return keccak256(abi.encode(POLICY_TYPEHASH, p));
    }

    function voucher(bytes32 dealId, uint40 gpuSeconds) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, dealId, gpuSeconds));
    }

    function receipt(bytes32 dealId, uint40 gpuSeconds, bytes32 resultDigest, bytes32 usageRoot)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, dealId, gpuSeconds, resultDigest, usageRoot));
    }

    function unattestedClaim(bytes32 dealId, uint40 gpuSeconds, uint40 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(UNATTESTED_CLAIM_TYPEHASH, dealId, gpuSeconds, deadline));
    }

    function split(bytes32 dealId, uint40 gpuSeconds, uint40 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(SPLIT_TYPEHASH, dealId, gpuSeconds, deadline));
    }

    function concede(bytes32 dealId, uint40 gpuSeconds, uint40 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(CONCEDE_TYPEHASH, dealId, gpuSeconds, deadline));
    }

    function dispute(bytes32 dealId, uint40 counter, bytes32 evidence, uint40 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(DISPUTE_TYPEHASH, dealId, counter, evidence, deadline));
    }

    function stop(bytes32 dealId, uint40 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(STOP_TYPEHASH, dealId, deadline));
    }

    function cancelDeal(bytes32 dealId, uint40 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(CANCEL_DEAL_TYPEHASH, dealId, deadline));
    }

    /// @param cutoffAt the group's before this cancel: it makes the request a one-shot.
    function cancelOrders(address account, Side side, uint64 group, uint40 cutoffAt, uint40 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(CANCEL_ORDERS_TYPEHASH, account, side, group, cutoffAt, deadline));
    }

    function requestWithdraw(address account, uint96 amount, uint24 nonce, uint40 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(REQUEST_WITHDRAW_TYPEHASH, account, amount, nonce, deadline));
    }

    function withdraw(address account, address to, uint24 nonce, uint40 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(WITHDRAW_TYPEHASH, account, to, nonce, deadline));
    }

    function ruling(address escrow, bytes32 dealId, uint40 gpuSeconds, uint40 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(RULING_TYPEHASH, escrow, dealId, gpuSeconds, deadline));
    }
}
