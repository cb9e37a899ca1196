// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract DisputeTest is DealScene {
    using Model for ModelDeal;

    function test_dispute__paysTheCounterAndStakesOnTheRest(
        Shape memory s,
        uint256 units,
        uint256 counter,
        uint256 time,
        bool completed
    ) public {
        ModelDeal memory d = claimed(bounded(s), units, completed);
        vm.warp(within(time, present(), d.deadline - 1));
        check(d, within(counter, 0, d.claim - 1), s.form);
    }

    function test_dispute__ofAClaimAboveVouchers(Shape memory s, uint256 paid, uint256 units, uint256 counter) public {
        ModelDeal memory d = opened(bounded(s));
        release(d, within(paid, 1, d.allocation() - 1));
        claim(d, within(units, d.paid + 1, d.allocation()), false);
        check(d, within(counter, d.paid, d.claim - 1), s.form);
    }

    /// @dev Stopped within the notice the bond is excused: all but the stake goes back at once.
    function test_dispute__ofAStoppedDeal(Shape memory s, uint256 stopAt, uint256 units, uint256 counter) public {
        ModelDeal memory d = stopped(s, stopAt);
        claim(d, within(units, 1, d.elapsed(d.endsAt)), false);
        check(d, within(counter, 0, d.claim - 1), s.form);
    }

    /// @dev The stake comes out of the whole balance, what the claim leaves and marked amounts included.
    function test_dispute__stakeIsPaidAfterTheCredits(Shape memory s, uint256 units, uint256 counter, bool enough)
        public
    {
        ModelDeal memory d = claimed(bounded(s), units, false);
        counter = within(counter, 0, d.claim - 1);
        ModelDeal memory after_ = abi.decode(abi.encode(d), (ModelDeal));
        Flow memory f = after_.dispute(counter, present());
        uint256 needed = f.stake > f.buyer ? f.stake - f.buyer : 0;
        if (needed == 0) return check(d, counter, s.form);

        uint256 kept = enough ? needed : needed - 1;
        empty(buyer, kept);
        vm.warp(present() - WITHDRAW_DELAY);
        if (enough) return check(d, counter, s.form);
        expectRefusal(Code.BUYER_BALANCE, kept + f.buyer, f.stake);
        vm.prank(buyer);
        escrow.dispute(d.terms, uint40(counter), 0, 0, "");
    }

    function test_dispute__untilTheDeadline(Shape memory s, uint256 units, uint256 near) public {
        ModelDeal memory d = claimed(bounded(s), units, false);
        vm.warp(nearby(d.deadline, near));
        if (present() >= d.deadline) expectRefusal(Code.TOO_LATE, present(), d.deadline);
        vm.prank(buyer);
        escrow.dispute(d.terms, 0, 0, 0, "");
    }

    function test_dispute__counterIsBelowTheClaim(Shape memory s, uint256 units, uint256 counter) public {
        ModelDeal memory d = claimed(bounded(s), units, false);
        counter = within(counter, d.claim, type(uint40).max);
        expectRefusal(Code.COUNTER_OUT_OF_RANGE, counter, d.claim - 1);
        vm.prank(buyer);
        escrow.dispute(d.terms, uint40(counter), 0, 0, "");
    }

    function test_dispute__counterIsNotBelowWhatIsPaid(Shape memory s, uint256 paid, uint256 counter) public {
        ModelDeal memory d = opened(bounded(s));
        release(d, within(paid, 1, d.allocation() - 1));
        claim(d, d.allocation(), false);
        counter = within(counter, 0, d.paid - 1);
        expectRefusal(Code.COUNTER_OUT_OF_RANGE, counter, d.paid);
        vm.prank(buyer);
        escrow.dispute(d.terms, uint40(counter), 0, 0, "");
    }

    function test_dispute__onlyByTheBuyer(Shape memory s, uint256 who, bool bySignature) public {
        ModelDeal memory d = claimed(bounded(s), 1, false);
        address other = [voucherSigner, provider, relayer, arbiter][who % 4];
        bytes memory sig;
        if (bySignature) sig = signCompact(other, digest(Digests.dispute(idOf(d.terms), 0, "e", FAR)));
        expectBadSignature(other, buyer);
        vm.prank(other);
        escrow.dispute(d.terms, 0, "e", FAR, sig);
    }

    function test_dispute__requestLapses(Shape memory s, uint256 near) public {
        ModelDeal memory d = claimed(bounded(s), 1, false);
        uint40 deadline = uint40(nearby(present() + 1, near));
        bytes memory sig = signCompact(buyer, digest(Digests.dispute(idOf(d.terms), 0, "e", deadline)));
        if (deadline <= present()) expectRefusal(Code.TOO_LATE, present(), deadline);
        escrow.dispute(d.terms, 0, "e", deadline, sig);
    }

    function test_dispute__onlyOfAClaim(Shape memory s, uint256 units, uint256 seed) public {
        ModelDeal memory d = seed % 4 == 0 ? opened(bounded(s)) : disputedEitherWay(bounded(s), units, 0, seed);
        expectWrongStatus(d, Status.CLAIMED);
        vm.prank(buyer);
        escrow.dispute(d.terms, 0, 0, 0, "");
    }

    function check(ModelDeal memory d, uint256 counter, uint256 form) private {
        bytes32 id = idOf(d.terms);
        (address caller, bytes memory sig) =
            agree(buyer, digest(Digests.dispute(id, counter, "evidence", FAR)), anyForm(form));
        Purses memory was = purses();
        Flow memory f = d.dispute(counter, present());
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealDisputed(
            id, counter, d.claim, "evidence", f.stake, d.deadline, f.earned + f.back, f.fee, f.buyer
        );
        vm.prank(caller);
        escrow.dispute(d.terms, uint40(counter), "evidence", FAR, sig);
        assertMoved(d, f, was);
    }

    /// @dev All but `kept` of a balance leaves the escrow. Time goes on.
    function empty(address who, uint256 kept) private {
        vm.startPrank(who);
        escrow.requestWithdraw(who, uint96(balanceOf(who) - kept), 0, "");
        vm.warp(present() + WITHDRAW_DELAY);
        escrow.withdraw(who, stranger, 0, "");
        vm.stopPrank();
    }
}
