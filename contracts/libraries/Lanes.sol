// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Group, Side} from "../interfaces/IMoltEscrow.sol";

/// @title What a group's word says of one slot
library Lanes {
    /// @dev Key of a group within its maker; the two sides never meet.
    function key(Side side, uint256 group) internal pure returns (uint256) {
        return (uint256(side) << 64) | group;
    }

    function offerGroup(uint64 slot) internal pure returns (uint256) {
        return slot >> 2;
    }

    function orderGroup(uint64 slot) internal pure returns (uint256) {
        return slot >> 7;
    }

    function gpusInUse(uint128 payload, uint64 slot) internal pure returns (uint256) {
        return uint32(payload >> _shift(slot));
    }

    /// @dev The caller has checked that the lane's sum stays within uint32.
    function take(uint128 payload, uint64 slot, uint32 gpus) internal pure returns (uint128) {
        return payload + (uint128(gpus) << _shift(slot));
    }

    function give(uint128 payload, uint64 slot, uint32 gpus) internal pure returns (uint128) {
        return payload - (uint128(gpus) << _shift(slot));
    }

    function _shift(uint64 slot) private pure returns (uint8) {
        return uint8(slot & 3) * 32;
    }

    function opened(uint128 payload, uint64 slot) internal pure returns (bool) {
        return (payload >> (slot & 127)) & 1 == 1;
    }

    function setOpened(uint128 payload, uint64 slot) internal pure returns (uint128) {
        return payload | (uint128(1) << (slot & 127));
    }

    /// @dev The first second of creation that is still alive: cutoffs never move back, so nothing revives.
    function aliveFrom(Group memory group, uint256 time) internal pure returns (uint256) {
        return time >= group.cutoffAt ? group.cutoffAt : group.deadBefore;
    }
}
