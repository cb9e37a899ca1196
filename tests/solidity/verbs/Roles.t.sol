// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Config, Holder, IMoltEscrow, Match, Offer, Role} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Scene} from "../support/Scene.sol";

contract RolesTest is Scene {
    uint256 private constant PAUSE = 72 hours;
    uint256 private constant REST = 7 days;

    // ---------------------------------------------------------------- pause, unpause

    function test_pause__lastsAndThenRests(uint256 time, uint256 near) public {
        vm.warp(within(time, START, START + 365 days));
        uint256 until = present() + PAUSE;
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.OpeningsPaused(until);
        vm.prank(guardian);
        escrow.pause();
        assertEq(escrow.config().pausedUntil, until);

        vm.warp(nearby(until + REST, near));
        if (present() < until + REST) expectRefusal(Code.PAUSE_RESTING, present(), until + REST);
        vm.prank(guardian);
        escrow.pause();
    }

    function test_pause__holdsUpOpeningsOnly(uint256 near) public {
        Offer memory offer = someOffer(register(somePolicy()));
        (offer.expiresAt, offer.createdAt) = (FAR, START);
        Match memory m = signedMatch(offer, orderFor(offer, 1, 1));
        m.order.expiresAt = FAR;
        m = signedMatch(m.offer, m.order);
        fund(buyer, 10 ether);
        fund(provider, 10 ether);
        vm.prank(guardian);
        escrow.pause();
        vm.warp(nearby(START + PAUSE, near));
        bool paused = present() < START + PAUSE;
        (Code code, uint256 actual, uint256 limit) = escrow.check(m, relayer);
        assertEq(uint256(code), uint256(paused ? Code.PAUSED : Code.NONE));
        assertEq(actual, paused ? present() : 0);
        assertEq(limit, paused ? START + PAUSE : 0);
        if (paused) expectRefusal(Code.PAUSED, present(), START + PAUSE);
        escrow.open(m);
    }

    /// @dev Unpausing ends the pause now, and the rest begins now.
    function test_unpause__endsThePause(uint256 time, uint256 near) public {
        vm.startPrank(guardian);
        escrow.pause();
        vm.warp(within(time, START, START + PAUSE - 1));
        uint256 ended = present();
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.OpeningsPaused(ended);
        escrow.unpause();
        assertEq(escrow.config().pausedUntil, ended);

        vm.warp(nearby(ended + REST, near));
        if (present() < ended + REST) expectRefusal(Code.PAUSE_RESTING, present(), ended + REST);
        escrow.pause();
    }

    /// @dev Otherwise the guardian could put off the rest for ever, or begin one that nobody sees.
    function test_unpause__ofNoPauseChangesNothing(uint256 late, bool everPaused) public {
        vm.startPrank(guardian);
        if (everPaused) escrow.pause();
        vm.warp(START + PAUSE + within(late, 0, 365 days));
        bytes memory before = abi.encode(escrow.config());
        escrow.unpause();
        assertEq(abi.encode(escrow.config()), before);
    }

    // ---------------------------------------------------------------- fee

    function test_scheduleFee__fromSevenDaysOn(uint256 fee, uint256 time, uint256 near) public {
        fee = within(fee, 0, 300);
        vm.warp(within(time, START, START + 365 days));
        uint256 from = present() + 7 days;
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.FeeAnnounced(fee, from);
        vm.prank(feeSetter);
        escrow.scheduleFee(uint16(fee));
        assertEq(abi.encode(escrow.config()), abi.encode(Config(FEE_BPS, uint16(fee), uint40(from), 0)));
        vm.warp(nearby(from, near));
        assertEq(escrow.feeBps(), present() < from ? FEE_BPS : fee);
    }

    /// @dev A second announcement replaces one that is not in force yet, and keeps one that is.
    function test_scheduleFee__again(uint256 first, uint256 second, uint256 between) public {
        (first, second) = (within(first, 0, 300), within(second, 0, 300));
        vm.startPrank(feeSetter);
        escrow.scheduleFee(uint16(first));
        vm.warp(nearby(START + 7 days, between));
        uint256 now_ = present();
        uint256 present = now_ < START + 7 days ? FEE_BPS : first;
        escrow.scheduleFee(uint16(second));
        assertEq(escrow.feeBps(), present);
        vm.warp(now_ + 7 days - 1);
        assertEq(escrow.feeBps(), present);
        vm.warp(now_ + 7 days);
        assertEq(escrow.feeBps(), second);
    }

    function test_scheduleFee__leavesThePauseAlone(uint256 fee) public {
        vm.prank(guardian);
        escrow.pause();
        vm.prank(feeSetter);
        escrow.scheduleFee(uint16(_bound(fee, 0, 300)));
        assertEq(escrow.config().pausedUntil, START + PAUSE);
    }

    function test_scheduleFee__withinTheCap(uint256 fee) public {
        fee = within(fee, 301, type(uint16).max);
        expectRefusal(Code.FEE_OUT_OF_RANGE, fee, 300);
        vm.prank(feeSetter);
        escrow.scheduleFee(uint16(fee));
    }

    // ---------------------------------------------------------------- handing over

    function test_offerRole__changesHandsWhenAccepted(bool guardians, address to, address other) public {
        Role role = guardians ? Role.GUARDIAN : Role.FEE_SETTER;
        address holder = guardians ? guardian : feeSetter;
        vm.assume(to != other && to != address(0) && other != holder);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.RoleOffered(role, holder, to);
        vm.prank(holder);
        escrow.offerRole(role, to);
        assertHeld(role, holder, to);

        expectRefusal(Code.NOT_HOLDER, uint160(other), uint160(to));
        vm.prank(other);
        escrow.acceptRole(role);

        vm.expectEmit(address(escrow));
        emit IMoltEscrow.RoleAccepted(role, to);
        vm.prank(to);
        escrow.acceptRole(role);
        assertHeld(role, to, address(0));
        assertHeld(guardians ? Role.FEE_SETTER : Role.GUARDIAN, guardians ? feeSetter : guardian, address(0));
    }

    function test_offerRole__takenBack(bool guardians, address to) public {
        Role role = guardians ? Role.GUARDIAN : Role.FEE_SETTER;
        vm.assume(to != address(0));
        vm.startPrank(guardians ? guardian : feeSetter);
        escrow.offerRole(role, to);
        escrow.offerRole(role, address(0));
        vm.stopPrank();
        expectRefusal(Code.NOT_HOLDER, uint160(to), 0);
        vm.prank(to);
        escrow.acceptRole(role);
    }

    /// @dev I17: each verb for the holder of its role only.
    function test_roles__onlyForTheirHolders(address who, uint256 verb) public {
        vm.assume(who != guardian && who != feeSetter);
        bytes[5] memory calls = [
            abi.encodeCall(IMoltEscrow.pause, ()),
            abi.encodeCall(IMoltEscrow.unpause, ()),
            abi.encodeCall(IMoltEscrow.offerRole, (Role.GUARDIAN, who)),
            abi.encodeCall(IMoltEscrow.scheduleFee, (0)),
            abi.encodeCall(IMoltEscrow.offerRole, (Role.FEE_SETTER, who))
        ];
        assertNotHolder(who, calls[verb % 5], verb % 5 < 3 ? guardian : feeSetter);
        assertNotHolder(verb % 5 < 3 ? feeSetter : guardian, calls[verb % 5], verb % 5 < 3 ? guardian : feeSetter);
    }

    function assertNotHolder(address who, bytes memory call_, address holder) private {
        (bool done, bytes memory answer) = callAs(who, address(escrow), call_);
        assertFalse(done);
        assertEq(
            answer,
            abi.encodeWithSelector(
                IMoltEscrow.Refused.selector, Code.NOT_HOLDER, uint256(uint160(who)), uint256(uint160(holder))
            )
        );
    }

    function assertHeld(Role role, address holder, address pending) private view {
        assertEq(abi.encode(escrow.roleOf(role)), abi.encode(Holder(holder, pending)));
    }
}
