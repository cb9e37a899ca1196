// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {Offer, Order, Policy, Side, Terms} from "../interfaces/IMoltEscrow.sol";
import {Hashes} from "../libraries/Hashes.sol";
import {Policies} from "../libraries/Policies.sol";
import {Signatures} from "../libraries/Signatures.sol";

/// @title Hashes, signers and Merkle proofs as the chain sees them, for the parity tests
contract HashesHarness {
    function typeHashes() external pure returns (bytes32[16] memory) {
        return [
            Hashes.OFFER_TYPEHASH,
            Hashes.ORDER_TYPEHASH,
            Hashes.TERMS_TYPEHASH,
            Hashes.POLICY_TYPEHASH,
            Hashes.VOUCHER_TYPEHASH,
            Hashes.RECEIPT_TYPEHASH,
            Hashes.UNATTESTED_CLAIM_TYPEHASH,
            Hashes.SPLIT_TYPEHASH,
            Hashes.CONCEDE_TYPEHASH,
            Hashes.DISPUTE_TYPEHASH,
            Hashes.STOP_TYPEHASH,
            Hashes.CANCEL_DEAL_TYPEHASH,
            Hashes.CANCEL_ORDERS_TYPEHASH,
            Hashes.REQUEST_WITHDRAW_TYPEHASH,
            Hashes.WITHDRAW_TYPEHASH,
            Hashes.RULING_TYPEHASH
        ];
    }

    function offer(Offer calldata o) external pure returns (bytes32) {
        return Hashes.offer(o);
    }

    function order(Order calldata o) external pure returns (bytes32) {
        return Hashes.order(o);
    }

    function terms(Terms calldata t) external pure returns (bytes32) {
        return Hashes.terms(t);
    }

    function policy(Policy calldata p) external pure returns (bytes32) {
        return Hashes.policy(p);
    }

    function voucher(bytes32 dealId, uint40 gpuSeconds) external pure returns (bytes32) {
        return Hashes.voucher(dealId, gpuSeconds);
    }

    function receipt(bytes32 dealId, uint40 gpuSeconds, bytes32 resultDigest, bytes32 usageRoot)
        external
        pure
        returns (bytes32)
    {
        return Hashes.receipt(dealId, gpuSeconds, resultDigest, usageRoot);
    }

    function unattestedClaim(bytes32 dealId, uint40 gpuSeconds, uint40 deadline) external pure returns (bytes32) {
        return Hashes.unattestedClaim(dealId, gpuSeconds, deadline);
    }

    function split(bytes32 dealId, uint40 gpuSeconds, uint40 deadline) external pure returns (bytes32) {
        return Hashes.split(dealId, gpuSeconds, deadline);
    }

    function concede(bytes32 dealId, uint40 gpuSeconds, uint40 deadline) external pure returns (bytes32) {
        return Hashes.concede(dealId, gpuSeconds, deadline);
    }

    function dispute(bytes32 dealId, uint40 counter, bytes32 evidence, uint40 deadline)
        external
        pure
        returns (bytes32)
    {
        return Hashes.dispute(dealId, counter, evidence, deadline);
    }

    function stop(bytes32 dealId, uint40 deadline) external pure returns (bytes32) {
        return Hashes.stop(dealId, deadline);
    }

    function cancelDeal(bytes32 dealId, uint40 deadline) external pure returns (bytes32) {
        return Hashes.cancelDeal(dealId, deadline);
    }

    function cancelOrders(address account, Side side, uint64 group, uint40 cutoffAt, uint40 deadline)
        external
        pure
        returns (bytes32)
    {
        return Hashes.cancelOrders(account, side, group, cutoffAt, deadline);
    }

    function requestWithdraw(address account, uint96 amount, uint24 nonce, uint40 deadline)
        external
        pure
        returns (bytes32)
    {
        return Hashes.requestWithdraw(account, amount, nonce, deadline);
    }

    function withdraw(address account, address to, uint24 nonce, uint40 deadline) external pure returns (bytes32) {
        return Hashes.withdraw(account, to, nonce, deadline);
    }

    function ruling(address escrow, bytes32 dealId, uint40 gpuSeconds, uint40 deadline)
        external
        pure
        returns (bytes32)
    {
        return Hashes.ruling(escrow, dealId, gpuSeconds, deadline);
    }

    function attestors(address[] calldata set) external pure returns (bytes32) {
        return Policies.hashOf(set);
    }

    function recover(bytes32 digest, bytes calldata sig) external pure returns (address) {
        return Signatures.recover(digest, sig);
    }

    function inTree(bytes32[] calldata proof, bytes32 root, bytes32 digest) external pure returns (bool) {
        return MerkleProof.verifyCalldata(proof, root, keccak256(bytes.concat(keccak256(abi.encode(digest)))));
    }
}
