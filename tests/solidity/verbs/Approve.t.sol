// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {ModelDeal} from "../support/Model.sol";

contract ApproveTest is DealScene {
    uint40 private constant FOR_EVER = type(uint40).max;

    function test_approve__countsForTheCallerAlone(address who, address other, bytes32 what, bytes32 another) public {
        vm.assume(who != other && what != another);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DigestApproved(who, what);
        vm.prank(who);
        escrow.approve(what);
        assertEq(escrow.approvedUntil(who, what), FOR_EVER);
        assertEq(escrow.approvedUntil(other, what), 0);
        assertEq(escrow.approvedUntil(who, another), 0);
    }

    function test_revoke__takesEffectAfterTheDelay(address who, bytes32 what, uint256 time) public {
        vm.startPrank(who);
        escrow.approve(what);
        vm.warp(within(time, START, START + 365 days));
        uint40 until = uint40(present()) + CANCEL_DELAY;
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DigestRevoked(who, what, until);
        escrow.revoke(what);
        assertEq(escrow.approvedUntil(who, what), until);
    }

    /// @dev A second revocation cannot put off the first one.
    function test_revoke__againChangesNothing(bytes32 what, uint256 later) public {
        escrow.approve(what);
        escrow.revoke(what);
        vm.warp(START + within(later, 0, 365 days));
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DigestRevoked(address(this), what, START + CANCEL_DELAY);
        escrow.revoke(what);
        assertEq(escrow.approvedUntil(address(this), what), START + CANCEL_DELAY);
    }

    function test_revoke__ofNothingIsNothing(address who, bytes32 what) public {
        vm.prank(who);
        escrow.revoke(what);
        assertEq(escrow.approvedUntil(who, what), 0);
    }

    function test_approve__afterARevocation(bytes32 what, uint256 later) public {
        escrow.approve(what);
        escrow.revoke(what);
        vm.warp(START + within(later, 0, 365 days));
        escrow.approve(what);
        assertEq(escrow.approvedUntil(address(this), what), FOR_EVER);
    }

    /// @dev I10: a revoked approval counts until the delay is over: not one second longer, and not one less.
    function test_revoke__approvalCountsUntilItsEnd(Shape memory s, uint256 near) public {
        ModelDeal memory d = opened(bounded(s));
        bytes32 wanted = digest(Digests.cancelDeal(idOf(d.terms), FAR + 365 days));
        vm.startPrank(provider);
        escrow.approve(wanted);
        escrow.revoke(wanted);
        vm.stopPrank();
        uint256 until = present() + CANCEL_DELAY;
        vm.warp(nearby(until, near));
        if (present() >= until) expectBadSignature(relayer, provider);
        vm.prank(relayer);
        escrow.cancelDeal(d.terms, FAR + 365 days, "");
    }

    /// @dev An approval is of one digest, and lapses with the deadline in it.
    function test_approve__isOfOneDigest(Shape memory s, uint40 approved, uint40 used) public {
        ModelDeal memory d = opened(bounded(s));
        approved = uint40(_bound(approved, present() + 1, FOR_EVER - 1));
        used = uint40(_bound(used, present() + 1, FOR_EVER));
        if (approved == used) used++;
        vm.prank(provider);
        escrow.approve(digest(Digests.cancelDeal(idOf(d.terms), approved)));
        expectBadSignature(relayer, provider);
        vm.prank(relayer);
        escrow.cancelDeal(d.terms, used, "");
    }
}
