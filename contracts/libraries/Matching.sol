// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Offer, Order, Terms} from "../interfaces/IMoltEscrow.sol";
import {Money} from "./Money.sol";

/// @title Whether an offer and an order fit, by what they say alone
library Matching {
    uint256 internal constant MAX_HOURS = 8_760;
    uint256 internal constant MAX_GPU_SECONDS = type(uint40).max;

    /// @notice The first hard constraint that the pair breaks, or Code.NONE.
    function refusal(Offer calldata offer, Order calldata order, bytes32 offerHash)
        internal
        pure
        returns (Code code, uint256 actual, uint256 limit)
    {
        (code, actual, limit) = _parties(offer, order, offerHash);
        if (code == Code.NONE) (code, actual, limit) = _hardware(offer, order);
        if (code == Code.NONE) (code, actual, limit) = _hours(offer, order);
        if (code == Code.NONE) (code, actual, limit) = _price(offer, order);
    }

    /// @notice The terms that the two signatures imply.
    function terms(Offer calldata offer, Order calldata order, bytes32 orderHash) internal pure returns (Terms memory) {
        return Terms({
            buyer: order.buyer,
            voucherSigner: order.voucherSigner,
            provider: offer.provider,
            agent: offer.agent,
            pricePerGpuHour: offer.pricePerGpuHour,
            gpuCount: order.gpuCount,
            duration: uint32(order.durationHours * Money.SECONDS_PER_HOUR),
            commitment: uint32(offer.minCommitmentHours * Money.SECONDS_PER_HOUR),
            slot: offer.slot,
            policyId: offer.policyId,
            orderHash: orderHash
        });
    }

    function _parties(Offer calldata offer, Order calldata order, bytes32 offerHash)
        private
        pure
        returns (Code, uint256, uint256)
    {
        address provider = offer.provider;
        address agent = offer.agent;
        address voucherSigner = order.voucherSigner;
        if (provider == order.buyer) return (Code.SELF_TRADE, uint160(provider), uint160(provider));
        if (order.offerHash != 0 && order.offerHash != offerHash) {
            return (Code.OFFER_MISMATCH, uint256(offerHash), uint256(order.offerHash));
        }
        if (offer.policyId != order.policyId) {
            return (Code.POLICY_MISMATCH, uint256(offer.policyId), uint256(order.policyId));
        }
        if (agent == address(0)) return (Code.AGENT_ZERO, 0, 1);
        if (voucherSigner == address(0) || voucherSigner == provider || voucherSigner == agent) {
            return (Code.VOUCHER_SIGNER_FORBIDDEN, uint160(voucherSigner), uint160(voucherSigner));
        }
        return (Code.NONE, 0, 0);
    }

    function _hardware(Offer calldata offer, Order calldata order) private pure returns (Code, uint256, uint256) {
        if (order.gpuCount == 0) return (Code.GPU_COUNT_ZERO, 0, 1);
        if (offer.vramGb < order.minVramGb) return (Code.VRAM_BELOW_MINIMUM, offer.vramGb, order.minVramGb);
        if (order.features & ~offer.features != 0) return (Code.FEATURES_MISSING, offer.features, order.features);
        if (order.country != 0 && order.country != offer.country) {
            return (Code.COUNTRY_MISMATCH, uint16(offer.country), uint16(order.country));
        }
        if (order.region != 0 && order.region != offer.region) {
            return (Code.REGION_MISMATCH, uint256(offer.region), uint256(order.region));
        }
        if (order.model != 0 && order.model != offer.model) {
            return (Code.MODEL_MISMATCH, uint256(offer.model), uint256(order.model));
        }
        return (Code.NONE, 0, 0);
    }

    function _hours(Offer calldata offer, Order calldata order) private pure returns (Code, uint256, uint256) {
        uint256 hours_ = order.durationHours;
        if (hours_ == 0) return (Code.DURATION_OUT_OF_RANGE, 0, 1);
        if (hours_ > MAX_HOURS) return (Code.DURATION_OUT_OF_RANGE, hours_, MAX_HOURS);
        if (hours_ < offer.minCommitmentHours) {
            return (Code.DURATION_BELOW_COMMITMENT, hours_, offer.minCommitmentHours);
        }
        if (hours_ > offer.availableHours) return (Code.DURATION_ABOVE_AVAILABLE, hours_, offer.availableHours);
        uint256 gpuSeconds = order.gpuCount * hours_ * Money.SECONDS_PER_HOUR;
        if (gpuSeconds > MAX_GPU_SECONDS) return (Code.ALLOCATION_TOO_LARGE, gpuSeconds, MAX_GPU_SECONDS);
        return (Code.NONE, 0, 0);
    }

    /// @dev The budget is a uint96, so a price within it fits a balance.
    function _price(Offer calldata offer, Order calldata order) private pure returns (Code, uint256, uint256) {
        uint256 price = offer.pricePerGpuHour;
        if (price == 0) return (Code.PRICE_ZERO, 0, 1);
        if (price > order.maxPricePerGpuHour) return (Code.PRICE_ABOVE_LIMIT, price, order.maxPricePerGpuHour);
        uint256 total = price * order.gpuCount * order.durationHours;
        if (total > order.maxBudget) return (Code.BUDGET_EXCEEDED, total, order.maxBudget);
        return (Code.NONE, 0, 0);
    }
}
