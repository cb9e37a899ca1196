// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Holder, IMoltEscrow, Role} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Scene} from "../support/Scene.sol";
import {IDeployed} from "./Views.t.sol";

contract ConstructorTest is Scene {
    struct Values {
        address token;
        address feeRecipient;
        address guardian;
        address feeSetter;
        uint16 feeBps;
        uint40 withdrawDelay;
        uint40 cancelDelay;
    }

    bytes private creationCode;

    function setUp() public override {
        super.setUp();
        creationCode = vm.getCode("MoltEscrow.sol:MoltEscrow");
    }

    function test_constructor__takesItsValues(Values memory v, uint256 decimals) public {
        v = bounded(v, within(decimals, 0, 18));
        IMoltEscrow made = IMoltEscrow(deployed(v, 0));
        IDeployed says = IDeployed(address(made));
        assertEq(says.token(), v.token);
        assertEq(says.feeRecipient(), v.feeRecipient);
        assertEq(says.withdrawDelay(), v.withdrawDelay);
        assertEq(says.cancelDelay(), v.cancelDelay);
        assertEq(made.feeBps(), v.feeBps);
        assertEq(abi.encode(made.roleOf(Role.GUARDIAN)), abi.encode(Holder(v.guardian, address(0))));
        assertEq(abi.encode(made.roleOf(Role.FEE_SETTER)), abi.encode(Holder(v.feeSetter, address(0))));
    }

    /// @dev A role that nobody was given stays without for ever.
    function test_constructor__aRoleOfNobody(Values memory v, address who) public {
        v = bounded(v, 18);
        (v.guardian, v.feeSetter) = (address(0), address(0));
        vm.assume(who != address(0));
        IMoltEscrow made = IMoltEscrow(deployed(v, 0));
        expectRefusal(Code.NOT_HOLDER, uint160(who), 0);
        vm.prank(who);
        made.pause();
        expectRefusal(Code.NOT_HOLDER, uint160(who), 0);
        vm.prank(who);
        made.acceptRole(Role.FEE_SETTER);
    }

    function test_constructor__withinBounds(Values memory v, uint256 which, uint256 value, bool below) public {
        v = bounded(v, 18);
        (uint256 least, uint256 most) = (1, 1 days);
        if (which % 5 == 0) {
            value = within(value, 301, type(uint16).max);
            (v.feeBps, most) = (uint16(value), 300);
        } else if (which % 5 == 1) {
            value = within(value, 19, 255);
            v = withDecimals(v, value);
            most = 18;
        } else if (which % 5 == 2) {
            (v.feeRecipient, value) = (address(0), 0);
        } else {
            value = below ? 0 : within(value, 1 days + 1, type(uint40).max);
            if (which % 5 == 3) v.withdrawDelay = uint40(value);
            else v.cancelDelay = uint40(value);
        }
        bytes memory refusal = abi.encodeWithSelector(
            IMoltEscrow.Refused.selector, Code.DEPLOYMENT_OUT_OF_RANGE, value, value == 0 ? least : most
        );
        deployed(v, uint256(keccak256(refusal)));
    }

    function bounded(Values memory v, uint256 decimals) private returns (Values memory) {
        vm.assume(v.feeRecipient != address(0));
        v.feeBps = uint16(within(v.feeBps, 0, 300));
        v.withdrawDelay = uint40(within(v.withdrawDelay, 1, 1 days));
        v.cancelDelay = uint40(within(v.cancelDelay, 1, 1 days));
        return withDecimals(v, decimals);
    }

    function withDecimals(Values memory v, uint256 decimals) private returns (Values memory) {
        v.token = deployCode("MoltToken.sol:MoltToken", abi.encode("MOLT", "MOLT", uint8(decimals)));
        return v;
    }

    /// @dev The new contract, or 0 with the revert data that is expected, by its hash.
    function deployed(Values memory v, uint256 refusal) private returns (address made) {
        bytes memory code = bytes.concat(creationCode, abi.encode(v));
        bytes memory answer;
        assembly ("memory-safe") {
            made := create(0, add(code, 32), mload(code))
            answer := mload(0x40)
            mstore(answer, returndatasize())
            returndatacopy(add(answer, 32), 0, returndatasize())
            mstore(0x40, add(add(answer, 32), and(add(returndatasize(), 31), not(31))))
        }
        if (refusal == 0) assertTrue(made != address(0));
        else assertEq(uint256(keccak256(answer)), refusal);
    }
}
