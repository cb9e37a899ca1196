// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, Status, Terms} from "../interfaces/IMoltEscrow.sol";
import {Deals} from "./Deals.sol";

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

    /// @notice The provider's stake on delivering what is priced at `price_`.
    function bond(uint256 price_, uint256 bondBps) internal pure returns (uint256) {
        unchecked {
            return price_ * bondBps / BPS;
        }
    }

    /// @notice What raising the paid GPU-seconds to `gpuSeconds` brings the provider and the fee account.
    function owed(Terms memory terms, Deal memory deal, uint256 gpuSeconds)
        internal
        pure
        returns (uint256 toProvider, uint256 fee)
    {
        uint256 duePaid = due(terms, deal.paid);
        uint256 dueNow = due(terms, gpuSeconds);
        fee = dueNow * deal.feeBps / BPS - duePaid * deal.feeBps / BPS;
        toProvider = dueNow - duePaid - fee;
    }

    /// @notice The part of the bond that `gpuSeconds` of delivery earn back: linear, but whole within one notice period
    /// of all that could be delivered, the tolerated start-up time.
    function bondEarned(Terms memory terms, Deal memory deal, uint256 gpuSeconds) internal pure returns (uint256) {
        uint256 whole = bond(price(terms), deal.bondBps);
        uint256 deliverable = uint256(terms.gpuCount) * (deal.endsAt - deal.openedAt); // a stop shortens it
        uint256 tolerated = uint256(terms.gpuCount) * deal.noticeMinutes * 1 minutes;
        if (gpuSeconds > 0 && gpuSeconds + tolerated >= deliverable) return whole;
        return whole * gpuSeconds / deliverable;
    }

    /// @notice The provider's stake in a dispute: the bond that the contested GPU-seconds would earn.
    function stake(Terms memory terms, Deal memory deal) internal pure returns (uint256) {
        return bondEarned(terms, deal, deal.claim) - bondEarned(terms, deal, deal.paid);
    }

    /// @notice Both sides' stakes; without a quorum there is the provider's only.
    function pot(Terms memory terms, Deal memory deal) internal pure returns (uint256) {
        return stake(terms, deal) * (deal.flags & Deals.ATTESTED != 0 ? 2 : 1);
    }

    /// @notice All that the deal still holds.
    function held(Terms memory terms, Deal memory deal) internal pure returns (uint256) {
        if (deal.status == Status.DISPUTED) {
            return due(terms, deal.claim) - due(terms, deal.paid) + pot(terms, deal);
        }
        uint256 whole = price(terms);
        return whole + bond(whole, deal.bondBps) - due(terms, deal.paid);
    }
}
