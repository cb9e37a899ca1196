// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract ConcedeTest is DealScene {
    using Model for ModelDeal;

    function test_concede__isTheOthersFigureWithoutAShare(
        Shape memory s,
        uint256 units,
        uint256 counter,
        uint256 time,
        bool byBuyer
    ) public {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, time);
        vm.warp(within(time, present(), d.deadline - 1));
        check(d, byBuyer ? d.claim : d.paid, byBuyer ? buyer : provider, s.form);
    }

    function test_concede__onlyOneOfTheTwoFigures(Shape memory s, uint256 units, uint256 counter, uint256 given)
        public
    {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, given);
        bool between = given % 2 == 0 && d.claim - d.paid > 1;
        given =
            between ? within(given >> 1, d.paid + 1, d.claim - 1) : within(given >> 1, d.claim + 1, type(uint40).max);
        expectRefusal(Code.RULING_OUT_OF_RANGE, given, d.paid);
        vm.prank(provider);
        escrow.concede(d.terms, uint40(given), 0, "");
    }

    function test_concede__notByTheWinner(Shape memory s, uint256 units, bool byBuyer, bool bySignature) public {
        ModelDeal memory d = disputed(bounded(s), units, false, 0);
        uint256 given = byBuyer ? d.paid : d.claim;
        address winner = byBuyer ? buyer : provider;
        bytes memory sig;
        if (bySignature) sig = sign(winner, digest(Digests.concede(idOf(d.terms), given, FAR)));
        expectBadSignature(winner, byBuyer ? provider : buyer);
        vm.prank(winner);
        escrow.concede(d.terms, uint40(given), FAR, sig);
    }

    function test_concede__untilTheDeadline(Shape memory s, uint256 units, uint256 near) public {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, 0, near);
        vm.warp(nearby(d.deadline, near));
        if (present() >= d.deadline) expectRefusal(Code.TOO_LATE, present(), d.deadline);
        vm.prank(provider);
        escrow.concede(d.terms, uint40(d.paid), 0, "");
    }

    function test_concede__requestLapses(Shape memory s, uint256 near) public {
        ModelDeal memory d = disputed(bounded(s), 1, false, 0);
        uint40 deadline = uint40(nearby(present() + 1, near));
        bytes memory sig = sign(buyer, digest(Digests.concede(idOf(d.terms), d.claim, deadline)));
        if (deadline <= present()) expectRefusal(Code.TOO_LATE, present(), deadline);
        escrow.concede(d.terms, uint40(d.claim), deadline, sig);
    }

    function test_concede__onlyInADispute(Shape memory s, bool claimedToo) public {
        ModelDeal memory d = claimedToo ? claimed(bounded(s), 1, false) : opened(bounded(s));
        expectWrongStatus(d, Status.DISPUTED);
        vm.prank(buyer);
        escrow.concede(d.terms, uint40(d.claim), 0, "");
    }

    function check(ModelDeal memory d, uint256 units, address loser, uint256 form) private {
        bytes32 id = idOf(d.terms);
        (address caller, bytes memory sig) = agree(loser, digest(Digests.concede(id, units, FAR)), anyForm(form));
        Purses memory was = purses();
        Flow memory f = d.resolve(units, 0);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealClosed(id, d.status, units, f.earned + f.back, f.fee, f.buyer);
        vm.prank(caller);
        escrow.concede(d.terms, uint40(units), FAR, sig);
        assertMoved(d, f, was);
    }
}
