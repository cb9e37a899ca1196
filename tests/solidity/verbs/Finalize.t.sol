// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract FinalizeTest is DealScene {
    using Model for ModelDeal;

    function test_finalize__withoutAClaimKeepsWhatVouchersPaid(Shape memory s, uint256 paid, uint256 late) public {
        ModelDeal memory d = opened(bounded(s));
        if (paid % 3 != 0) release(d, within(paid, 1, d.allocation() - 1));
        check(d, late);
    }

    function test_finalize__ofAStoppedDeal(Shape memory s, uint256 stopAt, uint256 paid, uint256 late) public {
        ModelDeal memory d = stopped(s, stopAt);
        if (paid % 3 != 0) release(d, within(paid, 1, d.allocation() - 1));
        check(d, late);
    }

    function test_finalize__paysAClaim(Shape memory s, uint256 paid, uint256 units, bool completed, uint256 late)
        public
    {
        ModelDeal memory d = opened(bounded(s));
        if (paid % 3 != 0) release(d, within(paid, 1, d.allocation() - 1));
        claim(d, within(units, d.paid + 1, d.allocation()), completed);
        check(d, late);
    }

    /// @dev I36: a dispute without a ruling ends as attested, or without a quorum as paid.
    function test_finalize__ofADisputeWithoutARuling(Shape memory s, uint256 units, uint256 counter, uint256 late)
        public
    {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, late);
        uint256 figure = d.attested ? d.claim : d.paid;
        check(d, late);
        assertEq(escrow.dealOf(idOf(d.terms)).paid, figure);
    }

    function test_finalize__notBeforeTheDeadline(Shape memory s, uint256 units, uint256 state, uint256 early) public {
        ModelDeal memory d;
        if (state % 3 == 0) d = opened(bounded(s));
        else if (state % 3 == 1) d = claimed(bounded(s), units, state % 2 == 0);
        else d = disputedEitherWay(bounded(s), units, 0, state / 3);
        vm.warp(within(early, present(), d.deadline - 1));
        expectRefusal(Code.TOO_EARLY, present(), d.deadline);
        escrow.finalize(d.terms);
    }

    function test_finalize__notTwice(Shape memory s, uint256 late) public {
        ModelDeal memory d = opened(bounded(s));
        check(d, late);
        expectWrongStatus(d, Status.LOCKED);
        escrow.finalize(d.terms);
    }

    function check(ModelDeal memory d, uint256 late) private {
        vm.warp(within(late, d.deadline, d.deadline + 3_650 days));
        Purses memory was = purses();
        Flow memory f = d.finalize();
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealClosed(idOf(d.terms), d.status, d.paid, f.earned + f.back, f.fee, f.buyer);
        vm.prank(stranger);
        escrow.finalize(d.terms);
        assertMoved(d, f, was);
    }
}
