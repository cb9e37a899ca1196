// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract ResolveTest is DealScene {
    using Model for ModelDeal;

    function test_resolve__splitsTheStakesAsTheRulingDoes(
        Shape memory s,
        uint256 units,
        uint256 counter,
        uint256 ruling,
        uint256 time
    ) public {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, time);
        vm.warp(within(time, present(), d.deadline - 1));
        check(d, within(ruling, d.paid, d.claim), s.form);
    }

    /// @dev Without a bond there is no stake: the ruling still pays.
    function test_resolve__withoutAStake(Shape memory s, uint256 units, uint256 counter, uint256 ruling) public {
        s = bounded(s);
        s.bondBps = 0;
        ModelDeal memory d = disputed(s, units, false, counter);
        check(d, within(ruling, d.paid, d.claim), s.form);
    }

    /// @dev I12: a ruling lies between counter and claim.
    function test_resolve__withinCounterAndClaim(Shape memory s, uint256 units, uint256 counter, uint256 ruling)
        public
    {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, counter);
        bool above = d.paid == 0 || ruling % 2 == 0;
        ruling = above ? within(ruling >> 1, d.claim + 1, type(uint40).max) : within(ruling >> 1, 0, d.paid - 1);
        expectRefusal(Code.RULING_OUT_OF_RANGE, ruling, above ? d.claim : d.paid);
        vm.prank(arbiter);
        escrow.resolve(d.terms, uint40(ruling), 0, "");
    }

    function test_resolve__untilTheDeadline(Shape memory s, uint256 units, uint256 near) public {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, 0, near);
        vm.warp(nearby(d.deadline, near));
        if (present() >= d.deadline) expectRefusal(Code.TOO_LATE, present(), d.deadline);
        vm.prank(arbiter);
        escrow.resolve(d.terms, uint40(d.claim), 0, "");
    }

    function test_resolve__onlyByTheArbiter(Shape memory s, uint256 who, bool bySignature) public {
        ModelDeal memory d = disputed(bounded(s), 1, false, 0);
        address other = [buyer, provider, relayer, guardian][who % 4];
        bytes memory sig;
        if (bySignature) sig = sign(other, digest(Digests.ruling(address(escrow), idOf(d.terms), 0, FAR)));
        expectBadSignature(other, arbiter);
        vm.prank(other);
        escrow.resolve(d.terms, 0, FAR, sig);
    }

    function test_resolve__rulingLapses(Shape memory s, uint256 near) public {
        ModelDeal memory d = disputed(bounded(s), 1, false, 0);
        uint40 deadline = uint40(nearby(present() + 1, near));
        bytes memory sig = sign(arbiter, digest(Digests.ruling(address(escrow), idOf(d.terms), 0, deadline)));
        if (deadline <= present()) expectRefusal(Code.TOO_LATE, present(), deadline);
        escrow.resolve(d.terms, 0, deadline, sig);
    }

    function test_resolve__onlyOfADispute(Shape memory s, bool claimedToo, bool closedToo) public {
        ModelDeal memory d = claimedToo ? claimed(bounded(s), 1, false) : opened(bounded(s));
        if (closedToo) {
            vm.warp(d.deadline);
            escrow.finalize(d.terms);
            d.finalize();
        }
        expectWrongStatus(d, Status.DISPUTED);
        vm.prank(arbiter);
        escrow.resolve(d.terms, 1, 0, "");
    }

    function check(ModelDeal memory d, uint256 units, uint256 form) private {
        bytes32 id = idOf(d.terms);
        bytes32 signed = digest(Digests.ruling(address(escrow), id, units, FAR));
        (address caller, bytes memory sig) = agree(arbiter, signed, anyForm(form));
        Purses memory was = purses();
        Flow memory f = d.resolve(units, d.policy.arbiterShareBps);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealRuled(id, arbiter, units, f.arbiter);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealClosed(id, d.status, units, f.earned + f.back, f.fee, f.buyer);
        vm.prank(caller);
        escrow.resolve(d.terms, uint40(units), FAR, sig);
        assertMoved(d, f, was);
    }
}
