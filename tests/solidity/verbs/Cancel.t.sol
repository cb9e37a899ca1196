// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Group, IMoltEscrow, Match, Offer, Order, Side} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "../support/Digests.sol";
import {Scene} from "../support/Scene.sol";

contract CancelTest is Scene {
    function test_cancel__setsTheCutoff(bool orders, uint64 group, uint256 time, uint256 form) public {
        vm.warp(within(time, START, START + 365 days));
        check(orders ? Side.ORDERS : Side.OFFERS, group, 0, form);
    }

    function test_cancel__again(bool orders, uint64 group, uint256 later, uint256 form) public {
        Side side = orders ? Side.ORDERS : Side.OFFERS;
        check(side, group, 0, form);
        uint40 pending = START + CANCEL_DELAY;
        vm.warp(within(later, pending, pending + 365 days));
        check(side, group, pending, form >> 2);
    }

    function test_cancel__notWhileOneIsPending(bool orders, uint64 group, uint256 early) public {
        Side side = orders ? Side.ORDERS : Side.OFFERS;
        check(side, group, 0, 0);
        vm.warp(within(early, START, START + CANCEL_DELAY - 1));
        expectRefusal(Code.CANCEL_PENDING, present(), START + CANCEL_DELAY);
        vm.prank(buyer);
        escrow.cancel(buyer, side, group, 0, "");
    }

    function test_cancel__onlyByTheMaker(bool orders, uint64 group, uint256 who, bool bySignature) public {
        Side side = orders ? Side.ORDERS : Side.OFFERS;
        address other = [relayer, provider, voucherSigner, guardian][who % 4];
        bytes memory sig;
        if (bySignature) sig = sign(other, digest(Digests.cancelOrders(buyer, side, group, 0, FAR)));
        expectBadSignature(other, buyer);
        vm.prank(other);
        escrow.cancel(buyer, side, group, FAR, sig);
    }

    /// @dev I15: the signature names the cutoff before it, so it works once, and for one side and group.
    function test_cancel__signatureWorksOnce(bool orders, uint64 group, uint256 wrong) public {
        Side side = orders ? Side.ORDERS : Side.OFFERS;
        bytes memory sig = sign(buyer, digest(Digests.cancelOrders(buyer, side, group, 0, FAR)));
        if (wrong % 3 == 0) {
            escrow.cancel(buyer, side, group, FAR, sig);
            vm.warp(START + CANCEL_DELAY);
        }
        if (wrong % 3 == 1) side = orders ? Side.OFFERS : Side.ORDERS;
        if (wrong % 3 == 2) group = ~group;
        uint40 cutoffAt = wrong % 3 == 0 ? START + CANCEL_DELAY : 0;
        bytes32 asked = digest(Digests.cancelOrders(buyer, side, group, cutoffAt, FAR));
        expectBadSignature(ecrecoverOf(asked, sig), buyer);
        escrow.cancel(buyer, side, group, FAR, sig);
    }

    function test_cancel__lapses(uint256 near) public {
        uint40 deadline = uint40(nearby(START + 1, near));
        bytes memory sig = signCompact(buyer, digest(Digests.cancelOrders(buyer, Side.ORDERS, 1, 0, deadline)));
        if (deadline <= START) expectRefusal(Code.TOO_LATE, START, deadline);
        escrow.cancel(buyer, Side.ORDERS, 1, deadline, sig);
    }

    /// @dev I10, I37: what was created before the cutoff opens until the cutoff and never again; what is created from the
    /// cutoff on opens. Slots of other groups are not touched.
    function test_cancel__killsWhatIsOlderThanTheCutoff(bool orders, uint256 created, uint256 near, uint256 again)
        public
    {
        uint40 cutoff = START + CANCEL_DELAY;
        Match memory m = fundedMatch(uint40(nearby(cutoff, created)), orders);
        cancelFor(m, orders);
        vm.warp(nearby(cutoff, near));
        if (again % 2 == 1 && present() >= cutoff) {
            // a second cancel moves the first cutoff to `deadBefore`; nothing comes back
            cancelFor(m, orders);
        }
        uint256 time = present();
        uint256 createdAt = orders ? m.order.createdAt : m.offer.createdAt;
        if (time < createdAt) {
            assertRefused(m, orders ? Code.ORDER_NOT_YET_VALID : Code.OFFER_NOT_YET_VALID, time, createdAt);
        } else if (createdAt < cutoff && time >= cutoff) {
            assertRefused(m, orders ? Code.ORDER_CANCELLED : Code.OFFER_CANCELLED, createdAt, cutoff);
        } else {
            escrow.open(m);
        }
    }

    function test_cancel__leavesOtherGroupsAlone(bool orders, uint64 slot) public {
        Match memory m = fundedMatch(START, orders);
        uint64 own = orders ? m.order.slot >> 7 : m.offer.slot >> 2;
        if (slot == own) slot++;
        vm.prank(orders ? buyer : provider);
        escrow.cancel(orders ? buyer : provider, orders ? Side.ORDERS : Side.OFFERS, slot, 0, "");
        // the same group's number on the other side is another group
        vm.prank(orders ? buyer : provider);
        escrow.cancel(orders ? buyer : provider, orders ? Side.OFFERS : Side.ORDERS, own, 0, "");
        vm.warp(START + CANCEL_DELAY);
        escrow.open(m);
    }

    function check(Side side, uint64 group, uint40 pending, uint256 form) private {
        (address caller, bytes memory sig) =
            agree(buyer, digest(Digests.cancelOrders(buyer, side, group, pending, FAR)), anyForm(form));
        uint40 cutoffAt = uint40(present()) + CANCEL_DELAY;
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.OrdersCancelled(buyer, side, group, cutoffAt);
        vm.prank(caller);
        escrow.cancel(buyer, side, group, FAR, sig);
        assertEq(abi.encode(escrow.groupOf(buyer, side, group)), abi.encode(Group(0, pending, cutoffAt)));
        Side other = side == Side.ORDERS ? Side.OFFERS : Side.ORDERS;
        assertEq(abi.encode(escrow.groupOf(buyer, other, group)), abi.encode(Group(0, 0, 0)));
    }

    function cancelFor(Match memory m, bool orders) private {
        address maker = orders ? buyer : provider;
        vm.prank(maker);
        if (orders) escrow.cancel(maker, Side.ORDERS, m.order.slot >> 7, 0, "");
        else escrow.cancel(maker, Side.OFFERS, m.offer.slot >> 2, 0, "");
    }

    function fundedMatch(uint40 createdAt, bool orders) private returns (Match memory) {
        Offer memory offer = someOffer(register(somePolicy()));
        offer.expiresAt = FAR;
        if (!orders) offer.createdAt = createdAt;
        Order memory order = orderFor(offer, 1, 1);
        order.expiresAt = FAR;
        if (orders) order.createdAt = createdAt;
        fund(buyer, 10 ether);
        fund(provider, 1 ether);
        return signedMatch(offer, order);
    }

    function assertRefused(Match memory m, Code code, uint256 actual, uint256 limit) private {
        expectRefusal(code, actual, limit);
        escrow.open(m);
    }
}
