// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Policy} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";

contract RegisterPolicyTest is DealScene {
    function test_registerPolicy__storesItUnderItsHash(Shape memory s, uint256 count, address by) public {
        attestors = sortedPeople("of this policy", within(count, 1, 16));
        Policy memory policy = policyOf(bounded(s));
        policy.threshold = uint8(within(s.threshold, 1, attestors.length));
        bytes32 id = Digests.policy(policy);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.PolicyRegistered(id, policy, attestors);
        vm.prank(by);
        assertEq(escrow.registerPolicy(policy, attestors), id);
        assertEq(abi.encode(escrow.policyOf(id)), abi.encode(policy));
    }

    function test_registerPolicy__withoutAttestors(Shape memory s) public {
        s = bounded(s);
        s.threshold = 0;
        Policy memory policy = policyOf(s);
        bytes32 id = register(policy);
        assertEq(abi.encode(escrow.policyOf(id)), abi.encode(policy));
    }

    /// @dev Nobody makes another one's bundle fail by registering first; the second time nothing is looked at.
    function test_registerPolicy__againIsNothing(Shape memory s, uint256 count) public {
        Policy memory policy = policyOf(bounded(s));
        bytes32 id = register(policy);
        vm.recordLogs();
        assertEq(escrow.registerPolicy(policy, new address[](_bound(count, 0, 20))), id);
        assertEq(vm.getRecordedLogs().length, 0);
        assertEq(abi.encode(escrow.policyOf(id)), abi.encode(policy));
    }

    function test_registerPolicy__needsAnArbiter(Shape memory s) public {
        Policy memory policy = policyOf(bounded(s));
        policy.arbiter = address(0);
        assertRefused(policy, Code.POLICY_ARBITER, 0, 1);
    }

    function test_registerPolicy__bondAndShareWithinTheirBounds(Shape memory s, uint256 value, bool share) public {
        Policy memory policy = policyOf(bounded(s));
        value = within(value, 5_001, type(uint16).max);
        if (share) policy.arbiterShareBps = uint16(value);
        else policy.bondBps = uint16(value);
        assertRefused(policy, share ? Code.POLICY_ARBITER_SHARE : Code.POLICY_BOND, value, 5_000);
    }

    function test_registerPolicy__windowsWithinTheirBounds(Shape memory s, uint256 value, uint256 which, bool below)
        public
    {
        uint32 least = [uint32(1 hours), 1 hours, 1 days][which % 3];
        uint32 most = [uint32(14 days), 7 days, 14 days][which % 3];
        Code code = [Code.POLICY_CHALLENGE, Code.POLICY_GRACE, Code.POLICY_ARBITRATION][which % 3];
        value = below ? within(value, 0, least - 1) : within(value, most + 1, type(uint32).max);
        Policy memory policy = policyOf(bounded(s));
        if (which % 3 == 0) policy.challenge = uint32(value);
        if (which % 3 == 1) policy.grace = uint32(value);
        if (which % 3 == 2) policy.arbitration = uint32(value);
        assertRefused(policy, code, value, below ? least : most);
    }

    function test_registerPolicy__needsANotice(Shape memory s) public {
        Policy memory policy = policyOf(bounded(s));
        policy.noticeMinutes = 0;
        assertRefused(policy, Code.POLICY_NOTICE, 0, 1);
    }

    function test_registerPolicy__atMostSixteenAttestors(Shape memory s, uint256 count) public {
        Policy memory policy = policyOf(bounded(s));
        attestors = new address[](within(count, 17, 40));
        assertRefused(policy, Code.POLICY_ATTESTOR_COUNT, attestors.length, 16);
    }

    function test_registerPolicy__thresholdWithinTheSet(Shape memory s, uint256 threshold) public {
        Policy memory policy = policyOf(bounded(s));
        policy.threshold = uint8(within(threshold, 6, type(uint8).max));
        assertRefused(policy, Code.POLICY_THRESHOLD, policy.threshold, 5);
        policy.threshold = 0;
        assertRefused(policy, Code.POLICY_THRESHOLD, 0, 1);
    }

    function test_registerPolicy__attestorsAscend(Shape memory s, uint256 one, uint256 other) public {
        Policy memory policy = policyOf(bounded(s));
        one = _bound(one, 1, 4);
        other = _bound(other, 0, one - 1);
        attestors[one] = attestors[other]; // there already
        assertRefused(policy, Code.POLICY_ATTESTOR_ORDER, uint160(attestors[one]), uint160(attestors[one - 1]));
        attestors[0] = address(0);
        assertRefused(policy, Code.POLICY_ATTESTOR_ORDER, 0, 0);
    }

    function test_registerPolicy__attestorsAreThoseOfTheHash(Shape memory s, bytes32 claimed_) public {
        Policy memory policy = policyOf(bounded(s));
        vm.assume(claimed_ != policy.attestorsHash);
        uint256 given = uint256(policy.attestorsHash);
        policy.attestorsHash = claimed_;
        assertRefused(policy, Code.POLICY_ATTESTORS, given, uint256(claimed_));
    }

    function assertRefused(Policy memory policy, Code code, uint256 actual, uint256 limit) private {
        expectRefusal(code, actual, limit);
        escrow.registerPolicy(policy, attestors);
        assertEq(escrow.policyOf(Digests.policy(policy)).arbiter, address(0));
    }
}
