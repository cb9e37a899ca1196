// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract SettleTest is DealScene {
    using Model for ModelDeal;

    function test_settle__aLockedDealGivesTheWholeBondBack(Shape memory s, uint256 paid, uint256 units, uint256 time)
        public
    {
        ModelDeal memory d = opened(bounded(s));
        if (paid % 3 != 0) release(d, within(paid, 1, d.allocation() - 1));
        vm.warp(within(time, d.openedAt, d.deadline + 1 days));
        check(d, within(units, d.paid, d.allocation()), s.form);
    }

    function test_settle__aStoppedDeal(Shape memory s, uint256 stopAt, uint256 units) public {
        ModelDeal memory d = stopped(s, stopAt);
        check(d, within(units, 0, d.allocation()), s.form);
    }

    /// @dev A claim does not bound a split before it is disputed.
    function test_settle__aClaimedDeal(Shape memory s, uint256 claim_, uint256 units, bool completed) public {
        ModelDeal memory d = claimed(bounded(s), claim_, completed);
        check(d, within(units, 0, d.allocation()), s.form);
    }

    function test_settle__aDisputedDealGivesTheStakesBack(
        Shape memory s,
        uint256 units,
        uint256 counter,
        uint256 split,
        uint256 time
    ) public {
        ModelDeal memory d = disputedEitherWay(bounded(s), units, counter, time);
        vm.warp(within(time, present(), d.deadline + 1 days));
        check(d, within(split, d.paid, d.claim), s.form);
    }

    function test_settle__withinWhatIsPaidAndHeld(Shape memory s, uint256 units, uint256 split, bool disputed_) public {
        ModelDeal memory d = disputed_ ? disputed(bounded(s), units, false, units) : opened(bounded(s));
        if (!disputed_) release(d, within(units, 1, d.allocation() - 1));
        uint256 most = disputed_ ? d.claim : d.allocation();
        bool above = d.paid == 0 || split % 2 == 0;
        split = above ? within(split >> 1, most + 1, type(uint40).max) : within(split >> 1, 0, d.paid - 1);
        (bytes memory one, bytes memory other) = bothSign(d, split, FAR);
        expectRefusal(Code.SPLIT_OUT_OF_RANGE, split, above ? most : d.paid);
        escrow.settle(d.terms, uint40(split), FAR, one, other);
    }

    /// @dev The end of a split binds the parties' own calls too: the other one signed it.
    function test_settle__lapses(Shape memory s, uint256 near) public {
        ModelDeal memory d = opened(bounded(s));
        uint40 until = uint40(nearby(present() + 1, near));
        (bytes memory one,) = bothSign(d, 1, until);
        if (until <= present()) expectRefusal(Code.TOO_LATE, present(), until);
        vm.prank(provider);
        escrow.settle(d.terms, 1, until, one, "");
    }

    /// @dev The keys that lie on machines, agent and voucher signer, cannot stand for the parties.
    function test_settle__needsBothParties(Shape memory s, uint256 who, bool buyersPart) public {
        ModelDeal memory d = opened(bounded(s));
        address other = [agent, voucherSigner, arbiter, buyersPart ? provider : buyer][who % 4];
        (bytes memory one, bytes memory two) = bothSign(d, 1, FAR);
        bytes memory forged = sign(other, digest(Digests.split(idOf(d.terms), 1, FAR)));
        expectBadSignature(other, buyersPart ? buyer : provider);
        escrow.settle(d.terms, 1, FAR, buyersPart ? forged : one, buyersPart ? two : forged);

        expectBadSignature(stranger, buyersPart ? buyer : provider);
        vm.prank(stranger);
        escrow.settle(d.terms, 1, FAR, buyersPart ? bytes("") : one, buyersPart ? two : bytes(""));
    }

    function test_settle__notOnceClosed(Shape memory s, uint256 units) public {
        ModelDeal memory d = opened(bounded(s));
        (bytes memory one, bytes memory other) = bothSign(d, 1, FAR);
        units = within(units, 1, d.allocation());
        check(d, units, s.form);
        expectWrongStatus(d, Status.LOCKED);
        escrow.settle(d.terms, 1, FAR, one, other);
    }

    function check(ModelDeal memory d, uint256 units, uint256 form) private {
        bytes32 id = idOf(d.terms);
        bytes32 split = digest(Digests.split(id, units, FAR));
        (address caller, bytes memory buyerSig) = agree(buyer, split, anyForm(form));
        // one caller cannot be both: the other one signs, or has approved
        Form second = form % 2 == 0 ? Form.APPROVAL : Form.SIGNATURE_65;
        (, bytes memory providerSig) = agree(provider, split, second);
        Purses memory was = purses();
        Flow memory f = d.settle(units);
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealClosed(id, d.status, units, f.earned + f.back, f.fee, f.buyer);
        vm.prank(caller);
        escrow.settle(d.terms, uint40(units), FAR, buyerSig, providerSig);
        assertMoved(d, f, was);
    }

    function bothSign(ModelDeal memory d, uint256 units, uint256 until)
        private
        view
        returns (bytes memory, bytes memory)
    {
        bytes32 split = digest(Digests.split(idOf(d.terms), units, until));
        return (sign(buyer, split), signCompact(provider, split));
    }
}
