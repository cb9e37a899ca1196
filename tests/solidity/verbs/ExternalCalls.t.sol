// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";

import {IMoltEscrow} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Shape} from "../support/Deal.sol";
import {Model, ModelDeal} from "../support/Model.sol";

contract ExternalCallsTest is DealScene {
    using Model for ModelDeal;

    /// @dev I24: in the life of a deal the escrow calls nobody but itself and the precompiles.
    function test_I24__aDealCallsNobody(Shape memory s, uint256 units, uint256 counter, uint256 seed) public {
        vm.startStateDiffRecording();
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, seed);
        if (seed % 2 == 0) {
            vm.prank(arbiter);
            escrow.resolve(d.terms, uint40(d.claim), 0, "");
        } else {
            vm.warp(d.deadline);
            bytes[] memory calls = new bytes[](1);
            calls[0] = abi.encodeCall(IMoltEscrow.finalize, (d.terms));
            escrow.multicall(calls, true);
        }
        // the deposits that paid for it: balance before, transferFrom, balance after
        uint256 deposits = d.bond() == 0 ? 1 : 2;
        assertEq(callsFromTheEscrow(), deposits * 3);
    }

    /// @dev I24: a deposit and a withdrawal call the token, and nobody else.
    function test_I24__moneyCallsTheToken(uint256 amount) public {
        amount = _bound(amount, 1, type(uint96).max);
        vm.startStateDiffRecording();
        fund(buyer, amount);
        assertEq(callsFromTheEscrow(), 3);
        vm.startPrank(buyer);
        vm.startStateDiffRecording();
        escrow.requestWithdraw(buyer, uint96(amount), 0, "");
        assertEq(callsFromTheEscrow(), 0);
        vm.warp(START + WITHDRAW_DELAY);
        vm.startStateDiffRecording();
        escrow.withdraw(buyer, stranger, 0, "");
        assertEq(callsFromTheEscrow(), 1);
    }

    /// @dev How many calls the escrow made to others since the recording began; none but to the token.
    function callsFromTheEscrow() private returns (uint256 count) {
        Vm.AccountAccess[] memory accesses = vm.stopAndReturnStateDiff();
        for (uint256 i = 0; i < accesses.length; i++) {
            Vm.AccountAccess memory a = accesses[i];
            if (a.accessor != address(escrow) || a.account == address(escrow) || uint160(a.account) < 32) continue;
            assertEq(a.account, address(token));
            count++;
        }
    }
}
