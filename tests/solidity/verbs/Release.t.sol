// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract ReleaseTest is DealScene {
    using Model for ModelDeal;

    function test_release__paysTheDifference(Shape memory s, uint256 first, uint256 second) public {
        ModelDeal memory d = opened(bounded(s));
        first = within(first, 1, d.allocation() - 2);
        release(d, first);
        second = within(second, first + 1, d.allocation() - 1);
        check(d, second, second, s.form);
        assertEq(uint256(d.status), uint256(Status.LOCKED));
    }

    function test_release__closesAtTheAllocation(Shape memory s, uint256 first, uint256 more) public {
        ModelDeal memory d = opened(bounded(s));
        first = _bound(first, 0, d.allocation() - 1);
        if (first != 0) release(d, first);
        more = within(more, d.allocation(), type(uint40).max);
        check(d, more, d.allocation(), s.form);
        assertEq(uint256(d.status), uint256(Status.RELEASED));
    }

    function test_release__beyondTheEndPaysTheSame(Shape memory s, uint256 units, uint256 time) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(within(time, d.endsAt, d.deadline + 365 days));
        units = within(units, 1, d.allocation());
        check(d, units, units, s.form);
    }

    function test_release__ofAClaimStopsAtTheClaim(Shape memory s, uint256 claim_, uint256 units, bool completed)
        public
    {
        ModelDeal memory d = claimed(bounded(s), claim_, completed);
        units = within(units, 1, type(uint40).max);
        check(d, units, units < d.claim ? units : d.claim, s.form);
    }

    /// @dev I22: one voucher or two, in the end the same is paid, to everyone.
    function test_release__splitOrNotIsTheSame(Shape memory s, uint256 first, uint256 second) public {
        ModelDeal memory d = opened(bounded(s));
        second = within(second, 2, d.allocation());
        first = within(first, 1, second - 1);
        uint256 before = vm.snapshotState();
        release(d, first);
        release(d, second);
        Purses memory split = purses();
        vm.revertToState(before);

        escrow.release(d.terms, uint40(second), voucher(d, second));
        assertEq(keccak256(abi.encode(split)), keccak256(abi.encode(purses())));
    }

    function test_release__neverLowersWhatCancellingBrings(Shape memory s, uint256 units, uint256 stopAt) public {
        ModelDeal memory d = stopAt % 2 == 0 ? opened(bounded(s)) : stopped(s, stopAt >> 1);
        uint256 before = vm.snapshotState();
        uint256 without = cancelled(d);
        vm.revertToState(before);

        units = within(units, 1, d.allocation() - 1);
        release(d, units);
        assertGe(cancelled(d), without);
    }

    function test_release__notAbovePaid(Shape memory s, uint256 first, uint256 second) public {
        ModelDeal memory d = opened(bounded(s));
        first = within(first, 1, d.allocation() - 1);
        release(d, first);
        second = within(second, 0, first);
        bytes memory sig = voucher(d, second);
        expectRefusal(Code.NOT_ABOVE_PAID, second, first);
        escrow.release(d.terms, uint40(second), sig);
    }

    function test_release__notOfADisputeAndNotTwice(Shape memory s, uint256 units, uint256 counter, uint256 seed)
        public
    {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, seed);
        bytes memory sig = voucher(d, d.claim);
        expectWrongStatus(d, Status.LOCKED);
        escrow.release(d.terms, uint40(d.claim), sig);

        vm.prank(buyer);
        escrow.concede(d.terms, uint40(d.claim), 0, "");
        d.resolve(d.claim, 0);
        expectWrongStatus(d, Status.LOCKED);
        escrow.release(d.terms, uint40(d.claim), sig);
    }

    function test_release__ofOtherTermsIsNoDeal(Shape memory s, uint256 field) public {
        ModelDeal memory d = opened(bounded(s));
        bytes memory sig = voucher(d, 1);
        if (field % 4 == 0) d.terms.pricePerGpuHour ^= 1;
        if (field % 4 == 1) d.terms.provider = stranger;
        if (field % 4 == 2) d.terms.orderHash = ~d.terms.orderHash;
        if (field % 4 == 3) d.terms.duration += 1;
        expectRefusal(Code.WRONG_STATUS, uint256(Status.NONE), uint256(Status.LOCKED));
        escrow.release(d.terms, 1, sig);
    }

    function test_release__onlyByTheVoucherSigner(Shape memory s, uint256 units, uint256 who) public {
        ModelDeal memory d = opened(bounded(s));
        units = within(units, 1, d.allocation());
        address[5] memory others = [buyer, provider, agent, stranger, arbiter];
        address forger = others[who % 5];
        bytes memory sig = sign(forger, digest(Digests.voucher(idOf(d.terms), units)));
        expectBadSignature(forger, voucherSigner);
        escrow.release(d.terms, uint40(units), sig);

        expectBadSignature(forger, voucherSigner);
        vm.prank(forger);
        escrow.release(d.terms, uint40(units), "");
    }

    function check(ModelDeal memory d, uint256 units, uint256 paid, uint256 form) private {
        bytes32 id = idOf(d.terms);
        (address caller, bytes memory sig) = agree(voucherSigner, digest(Digests.voucher(id, units)), anyForm(form));
        Purses memory was = purses();
        Flow memory f = d.release(paid);
        vm.expectEmit(address(escrow));
        if (d.held != 0 || d.status == Status.LOCKED || d.status == Status.CLAIMED) {
            emit IMoltEscrow.DealPaid(id, paid, f.earned, f.fee);
        } else {
            emit IMoltEscrow.DealClosed(id, d.status, paid, f.earned + f.back, f.fee, f.buyer);
        }
        vm.prank(caller);
        escrow.release(d.terms, uint40(units), sig);
        assertMoved(d, f, was);
    }

    /// @dev What the provider has in the escrow when he gives up now.
    function cancelled(ModelDeal memory d) private returns (uint256) {
        vm.prank(provider);
        escrow.cancelDeal(d.terms, 0, "");
        return balanceOf(provider);
    }
}
