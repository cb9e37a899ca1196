// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Policy} from "../interfaces/IMoltEscrow.sol";

/// @title The bounds of a policy
library Policies {
    uint256 internal constant MAX_BOND_BPS = 5_000;
    uint256 internal constant MIN_CHALLENGE_SECONDS = 1 hours;
    uint256 internal constant MAX_CHALLENGE_SECONDS = 14 days;
    uint256 internal constant MIN_GRACE_SECONDS = 1 hours;
    uint256 internal constant MAX_GRACE_SECONDS = 7 days;
    uint256 internal constant MIN_NOTICE_MINUTES = 1;
    uint256 internal constant MIN_ARBITRATION_SECONDS = 1 days;
    uint256 internal constant MAX_ARBITRATION_SECONDS = 14 days;
    uint256 internal constant MAX_ARBITER_SHARE_BPS = 5_000;
    uint256 internal constant MAX_ATTESTORS = 16;

    /// @notice The first bound that the policy breaks, or Code.NONE.
    function refusal(Policy memory policy, address[] calldata attestors)
        internal
        pure
        returns (Code code, uint256 actual, uint256 limit)
    {
        (code, actual, limit) = _terms(policy);
        if (code == Code.NONE) (code, actual, limit) = _attestors(policy, attestors);
    }

    function hashOf(address[] calldata attestors) internal pure returns (bytes32) {
        return keccak256(abi.encode(attestors)); // encodePacked would pad too, but reads as if it did not
    }

    function _terms(Policy memory p) private pure returns (Code, uint256, uint256) {
        bool broken;
        uint256 bound;
        if (p.arbiter == address(0)) return (Code.POLICY_ARBITER, 0, 1);
        if (p.bondBps > MAX_BOND_BPS) return (Code.POLICY_BOND, p.bondBps, MAX_BOND_BPS);
        (broken, bound) = _outside(p.challenge, MIN_CHALLENGE_SECONDS, MAX_CHALLENGE_SECONDS);
        if (broken) return (Code.POLICY_CHALLENGE, p.challenge, bound);
        (broken, bound) = _outside(p.grace, MIN_GRACE_SECONDS, MAX_GRACE_SECONDS);
        if (broken) return (Code.POLICY_GRACE, p.grace, bound);
        if (p.noticeMinutes < MIN_NOTICE_MINUTES) return (Code.POLICY_NOTICE, p.noticeMinutes, MIN_NOTICE_MINUTES);
        (broken, bound) = _outside(p.arbitration, MIN_ARBITRATION_SECONDS, MAX_ARBITRATION_SECONDS);
        if (broken) return (Code.POLICY_ARBITRATION, p.arbitration, bound);
        if (p.arbiterShareBps > MAX_ARBITER_SHARE_BPS) {
            return (Code.POLICY_ARBITER_SHARE, p.arbiterShareBps, MAX_ARBITER_SHARE_BPS);
        }
        return (Code.NONE, 0, 0);
    }

    /// @dev A threshold of 0 goes with no attestors, and the other way round.
    function _attestors(Policy memory policy, address[] calldata attestors)
        private
        pure
        returns (Code, uint256, uint256)
    {
        if (attestors.length > MAX_ATTESTORS) return (Code.POLICY_ATTESTOR_COUNT, attestors.length, MAX_ATTESTORS);
        if (policy.threshold > attestors.length) return (Code.POLICY_THRESHOLD, policy.threshold, attestors.length);
        if (policy.threshold == 0 && attestors.length != 0) return (Code.POLICY_THRESHOLD, 0, 1);
        address last = address(0);
        for (uint256 i = 0; i < attestors.length; i++) {
            address attestor = attestors[i];
            if (attestor <= last) return (Code.POLICY_ATTESTOR_ORDER, uint160(attestor), uint160(last));
            last = attestor;
        }
        bytes32 hash = hashOf(attestors);
        if (hash != policy.attestorsHash) {
            return (Code.POLICY_ATTESTORS, uint256(hash), uint256(policy.attestorsHash));
        }
        return (Code.NONE, 0, 0);
    }

    function _outside(uint256 value, uint256 least, uint256 most) private pure returns (bool broken, uint256 bound) {
        if (value < least) return (true, least);
        return (value > most, most);
    }
}
