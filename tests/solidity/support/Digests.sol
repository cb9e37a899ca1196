// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Offer, Order, Policy, Side, Terms} from "../../../contracts/interfaces/IMoltEscrow.sol";

/// @title EIP-712 from its text: what a wallet would hash, spelled out once more
library Digests {
    function domain(string memory name, address contract_) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256(bytes(name)),
                keccak256("1"),
                block.chainid,
                contract_
            )
        );
    }

    function typed(bytes32 domain_, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain_, structHash));
    }

    function offer(Offer memory o) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Offer(address provider,address agent,uint96 pricePerGpuHour,uint32 gpuCount,uint16 vramGb,"
                    "uint32 features,bytes2 country,bytes32 region,bytes32 model,uint16 availableHours,"
                    "uint16 minCommitmentHours,uint40 createdAt,uint40 expiresAt,uint16 maxFeeBps,uint64 slot,"
                    "bytes32 policyId,bytes32 metadataHash)"
                ),
                o
            )
        );
    }

    function order(Order memory o) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Order(address buyer,address voucherSigner,uint96 maxPricePerGpuHour,uint96 maxBudget,"
                    "uint32 gpuCount,uint16 minVramGb,uint32 features,bytes2 country,bytes32 region,bytes32 model,"
                    "uint16 durationHours,uint40 createdAt,uint40 expiresAt,uint64 slot,bytes32 policyId,"
                    "bytes32 offerHash,address opener,bytes32 jobSpecHash)"
                ),
                o
            )
        );
    }

    function terms(Terms memory t) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Terms(address buyer,address voucherSigner,address provider,address agent,uint96 pricePerGpuHour,"
                    "uint32 gpuCount,uint32 duration,uint32 commitment,uint64 slot,bytes32 policyId,bytes32 orderHash)"
                ),
                t
            )
        );
    }

    function policy(Policy memory p) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(
                    "Policy(address arbiter,uint16 bondBps,uint32 challenge,uint32 grace,uint8 noticeMinutes,"
                    "uint8 threshold,uint32 arbitration,uint16 arbiterShareBps,bytes32 attestorsHash)"
                ),
                p
            )
        );
    }

    function voucher(bytes32 id, uint256 units) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("Voucher(bytes32 dealId,uint40 gpuSeconds)"), id, units));
    }

    function receipt(bytes32 id, uint256 units, bytes32 resultDigest, bytes32 usageRoot)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256("Receipt(bytes32 dealId,uint40 gpuSeconds,bytes32 resultDigest,bytes32 usageRoot)"),
                id,
                units,
                resultDigest,
                usageRoot
            )
        );
    }

    function unattestedClaim(bytes32 id, uint256 units, uint256 deadline) internal pure returns (bytes32) {
        return _figure("UnattestedClaim(bytes32 dealId,uint40 gpuSeconds,uint40 deadline)", id, units, deadline);
    }

    function split(bytes32 id, uint256 units, uint256 deadline) internal pure returns (bytes32) {
        return _figure("Split(bytes32 dealId,uint40 gpuSeconds,uint40 deadline)", id, units, deadline);
    }

    function concede(bytes32 id, uint256 units, uint256 deadline) internal pure returns (bytes32) {
        return _figure("Concede(bytes32 dealId,uint40 gpuSeconds,uint40 deadline)", id, units, deadline);
    }

    function dispute(bytes32 id, uint256 counter, bytes32 evidence, uint256 deadline) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("Dispute(bytes32 dealId,uint40 counter,bytes32 evidence,uint40 deadline)"),
                id,
                counter,
                evidence,
                deadline
            )
        );
    }

    function stop(bytes32 id, uint256 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("Stop(bytes32 dealId,uint40 deadline)"), id, deadline));
    }

    function cancelDeal(bytes32 id, uint256 deadline) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256("CancelDeal(bytes32 dealId,uint40 deadline)"), id, deadline));
    }

    function cancelOrders(address account, Side side, uint64 group, uint40 cutoffAt, uint40 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256("CancelOrders(address account,uint8 side,uint64 group,uint40 cutoffAt,uint40 deadline)"),
                account,
                side,
                group,
                cutoffAt,
                deadline
            )
        );
    }

    function requestWithdraw(address account, uint256 amount, uint256 nonce, uint256 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256("RequestWithdraw(address account,uint96 amount,uint24 nonce,uint40 deadline)"),
                account,
                amount,
                nonce,
                deadline
            )
        );
    }

    function withdraw(address account, address to, uint256 nonce, uint256 deadline) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("Withdraw(address account,address to,uint24 nonce,uint40 deadline)"),
                account,
                to,
                nonce,
                deadline
            )
        );
    }

    function ruling(address escrow, bytes32 id, uint256 units, uint256 deadline) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("Ruling(address escrow,bytes32 dealId,uint40 gpuSeconds,uint40 deadline)"),
                escrow,
                id,
                units,
                deadline
            )
        );
    }

    function permit(address owner, address spender, uint256 amount, uint256 nonce, uint256 deadline)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                owner,
                spender,
                amount,
                nonce,
                deadline
            )
        );
    }

    function _figure(string memory text, bytes32 id, uint256 units, uint256 deadline) private pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(bytes(text)), id, units, deadline));
    }
}
