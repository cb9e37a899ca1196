// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Terms} from "../interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "./Deals.sol";

/// @title What GPU-seconds are worth, all rounded down
/// @dev Every figure is the floor of a cumulative value: splitting a payment changes nothing, and the dust stays with
/// what is still held, which goes to the buyer at the close. GPU-seconds < 2^40, prices < 2^96 and shares < 2^14, so
/// products stay below 2^150 and are not checked; differences are.
library Money {
    uint256 internal constant SECONDS_PER_HOUR = 3_600;
    uint256 internal constant BPS = 10_000;

    /// @notice GPU-seconds of the whole allocation.
    function allocation(Terms memory terms) internal pure returns (uint256) {
        unchecked {
            return uint256(terms.gpuCount) * terms.duration;
        }
    }

    /// @notice Price of the first `gpuSeconds`.
    function due(Terms memory terms, uint256 gpuSeconds) internal pure returns (uint256) {
        unchecked {
            return gpuSeconds * terms.pricePerGpuHour / SECONDS_PER_HOUR;
        }
    }

    /// @notice Price of the whole allocation.
    function price(Terms memory terms) internal pure returns (uint256) {
        return due(terms, allocation(terms));
    }

    /// @notice `bps` of an amount: the provider's bond on a price, the fee on what is due, the arbiter's share of a pot.
    function part(uint256 amount, uint256 bps) internal pure returns (uint256) {
        unchecked {
            return amount * bps / BPS;
        }
    }

    /// @notice What raising the paid GPU-seconds to `gpuSeconds` brings the provider and the fee account.
    function owed(Terms memory terms, DealWord deal, uint256 gpuSeconds)
        internal
        pure
        returns (uint256 toProvider, uint256 fee)
    {
        uint256 duePaid = due(terms, deal.paid());
        uint256 dueNow = due(terms, gpuSeconds);
        fee = part(dueNow, deal.feeBps()) - part(duePaid, deal.feeBps());
        toProvider = dueNow - duePaid - fee;
    }

    /// @notice The part of `bond` that `gpuSeconds` of delivery earn back: linear, but whole within one notice period
    /// of all that could be delivered, the tolerated start-up time.
    function earned(Terms memory terms, DealWord deal, uint256 bond, uint256 gpuSeconds)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 deliverable = terms.gpuCount * (deal.endsAt() - deal.openedAt()); // a stop shortens it
            uint256 tolerated = terms.gpuCount * deal.noticeSeconds();
            if (gpuSeconds > 0 && gpuSeconds + tolerated >= deliverable) return bond;
            return bond * gpuSeconds / deliverable;
        }
    }

    /// @notice In a dispute: what the paid GPU-seconds have earned of the bond; the provider's stake, which the
    /// contested ones would earn; and both sides' stakes together, which without a quorum are his alone.
    function stakes(Terms memory terms, DealWord deal, uint256 bond)
        internal
        pure
        returns (uint256 earnedPaid, uint256 stake, uint256 pot)
    {
        earnedPaid = earned(terms, deal, bond, deal.paid());
        stake = earned(terms, deal, bond, deal.claim()) - earnedPaid;
        pot = deal.has(Deals.ATTESTED) ? 2 * stake : stake;
    }
}
