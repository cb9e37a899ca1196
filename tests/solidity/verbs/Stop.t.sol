// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract StopTest is DealScene {
    using Model for ModelDeal;

    function test_stop__endsOneNoticeFromNow(Shape memory s, uint256 time) public {
        ModelDeal memory d = opened(stoppable(s));
        vm.warp(within(time, d.openedAt, d.endsAt - d.noticeSeconds() - 1));
        check(d, s.form);
    }

    /// @dev The bond is excused when the buyer stops before the start-up time is over, and not a second later.
    function test_stop__excusesTheBondWithinTheNotice(Shape memory s, uint256 near) public {
        ModelDeal memory d = opened(stoppable(s));
        uint256 startedUp = d.openedAt + d.noticeSeconds();
        vm.warp(_bound(nearby(startedUp, near), d.openedAt, d.endsAt - d.noticeSeconds() - 1));
        check(d, s.form);
        assertEq(d.excused, present() < startedUp);
    }

    function test_stop__notWithinOneNoticeOfTheEnd(Shape memory s, uint256 near) public {
        ModelDeal memory d = opened(stoppable(s));
        uint256 last = d.endsAt - d.noticeSeconds();
        vm.warp(nearby(last, near));
        if (present() < last) return check(d, s.form);
        expectRefusal(Code.STOP_TOO_LATE, present() + d.noticeSeconds(), d.endsAt);
        vm.prank(buyer);
        escrow.stop(d.terms, 0, "");
    }

    function test_stop__notBeforeTheCommitment(Shape memory s, uint256 time) public {
        s = stoppable(s);
        s.commitmentHours = s.hours_;
        ModelDeal memory d = opened(s);
        vm.warp(within(time, d.openedAt, d.endsAt - d.noticeSeconds()));
        expectRefusal(Code.STOP_TOO_LATE, d.endsAt, d.endsAt);
        vm.prank(buyer);
        escrow.stop(d.terms, 0, "");
    }

    function test_stop__onlyOnce(Shape memory s, uint256 time) public {
        ModelDeal memory d = stopped(s, time);
        expectRefusal(Code.ALREADY_STOPPED, d.endsAt, d.endsAt);
        vm.prank(buyer);
        escrow.stop(d.terms, 0, "");
    }

    function test_stop__onlyByTheBuyer(Shape memory s, uint256 who, bool bySignature) public {
        ModelDeal memory d = opened(stoppable(s));
        address other = [voucherSigner, provider, relayer, arbiter][who % 4];
        bytes memory sig;
        if (bySignature) sig = sign(other, digest(Digests.stop(idOf(d.terms), FAR)));
        expectBadSignature(other, buyer);
        vm.prank(other);
        escrow.stop(d.terms, FAR, sig);
    }

    function test_stop__requestLapses(Shape memory s, uint256 near) public {
        ModelDeal memory d = opened(stoppable(s));
        uint40 deadline = uint40(nearby(present() + 1, near));
        bytes memory sig = sign(buyer, digest(Digests.stop(idOf(d.terms), deadline)));
        if (deadline <= present()) expectRefusal(Code.TOO_LATE, present(), deadline);
        escrow.stop(d.terms, deadline, sig);
    }

    function test_stop__onlyOfALockedDeal(Shape memory s, uint256 units, bool completed) public {
        ModelDeal memory d = claimed(bounded(s), units, completed);
        expectWrongStatus(d, Status.LOCKED);
        vm.prank(buyer);
        escrow.stop(d.terms, 0, "");
    }

    function check(ModelDeal memory d, uint256 form) private {
        bytes32 id = idOf(d.terms);
        (address caller, bytes memory sig) = agree(buyer, digest(Digests.stop(id, FAR)), anyForm(form));
        Purses memory was = purses();
        Flow memory nothing;
        d.stop(present());
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealStopped(id, d.endsAt, d.deadline, d.excused);
        vm.prank(caller);
        escrow.stop(d.terms, FAR, sig);
        assertMoved(d, nothing, was);
    }
}
