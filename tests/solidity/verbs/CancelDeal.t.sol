// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract CancelDealTest is DealScene {
    using Model for ModelDeal;

    function test_cancelDeal__keepsWhatVouchersPaid(Shape memory s, uint256 paid, uint256 time) public {
        ModelDeal memory d = opened(bounded(s));
        if (paid % 3 != 0) release(d, within(paid, 1, d.allocation() - 1));
        vm.warp(within(time, d.openedAt, d.deadline + 1 days));
        check(d, s.form);
    }

    function test_cancelDeal__ofAStoppedDeal(Shape memory s, uint256 stopAt, uint256 paid) public {
        ModelDeal memory d = stopped(s, stopAt);
        if (paid % 3 != 0) release(d, within(paid, 1, d.allocation() - 1));
        check(d, s.form);
    }

    function test_cancelDeal__onlyByTheProvider(Shape memory s, uint256 who, bool bySignature) public {
        ModelDeal memory d = opened(bounded(s));
        address other = [agent, buyer, relayer, arbiter][who % 4];
        bytes memory sig;
        if (bySignature) sig = sign(other, digest(Digests.cancelDeal(idOf(d.terms), FAR)));
        expectBadSignature(other, provider);
        vm.prank(other);
        escrow.cancelDeal(d.terms, FAR, sig);
    }

    function test_cancelDeal__requestLapses(Shape memory s, uint256 near) public {
        ModelDeal memory d = opened(bounded(s));
        uint40 deadline = uint40(nearby(present() + 1, near));
        bytes memory sig = signCompact(provider, digest(Digests.cancelDeal(idOf(d.terms), deadline)));
        if (deadline <= present()) expectRefusal(Code.TOO_LATE, present(), deadline);
        escrow.cancelDeal(d.terms, deadline, sig);
    }

    function test_cancelDeal__onlyOfALockedDeal(Shape memory s, uint256 units, bool completed, bool again) public {
        ModelDeal memory d = again ? opened(bounded(s)) : claimed(bounded(s), units, completed);
        if (again) {
            vm.prank(provider);
            escrow.cancelDeal(d.terms, 0, "");
            d.cancelDeal();
        }
        expectWrongStatus(d, Status.LOCKED);
        vm.prank(provider);
        escrow.cancelDeal(d.terms, 0, "");
    }

    function check(ModelDeal memory d, uint256 form) private {
        bytes32 id = idOf(d.terms);
        (address caller, bytes memory sig) = agree(provider, digest(Digests.cancelDeal(id, FAR)), anyForm(form));
        Purses memory was = purses();
        Flow memory f = d.cancelDeal();
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealClosed(id, d.status, d.paid, f.back, 0, f.buyer);
        vm.prank(caller);
        escrow.cancelDeal(d.terms, FAR, sig);
        assertMoved(d, f, was);
    }
}
