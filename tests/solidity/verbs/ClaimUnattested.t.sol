// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

contract ClaimUnattestedTest is DealScene {
    using Model for ModelDeal;

    function test_claimUnattested__goesStraightToTheArbiter(Shape memory s, uint256 units, uint256 time) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(within(time, d.endsAt, d.deadline - 1));
        check(d, within(units, 1, d.allocation()), s.form);
    }

    function test_claimUnattested__withoutAttestors(Shape memory s, uint256 units) public {
        s = bounded(s);
        s.threshold = 0;
        ModelDeal memory d = opened(s);
        vm.warp(d.endsAt);
        check(d, within(units, 1, d.allocation()), s.form);
    }

    function test_claimUnattested__aboveVouchersAndAfterAStop(
        Shape memory s,
        uint256 paid,
        uint256 units,
        uint256 stopAt
    ) public {
        ModelDeal memory d = stopped(s, stopAt);
        uint256 most = d.elapsed(d.endsAt);
        release(d, within(paid, 1, most - 1));
        vm.warp(d.endsAt);
        check(d, within(units, d.paid + 1, most), s.form);
    }

    function test_claimUnattested__fromTheEndToTheDeadline(Shape memory s, uint256 near, bool late) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(nearby(late ? d.deadline : d.endsAt, near));
        uint256 time = present();
        if (time < d.endsAt) expectRefusal(Code.TOO_EARLY, time, d.endsAt);
        else if (time >= d.deadline) expectRefusal(Code.TOO_LATE, time, d.deadline);
        vm.prank(provider);
        escrow.claimUnattested(d.terms, 1, 0, "");
    }

    function test_claimUnattested__withinWhatHasPassed(Shape memory s, uint256 paid, uint256 units, bool above) public {
        ModelDeal memory d = opened(bounded(s));
        release(d, within(paid, 1, d.allocation() - 1));
        vm.warp(d.endsAt);
        uint256 elapsed = d.elapsed(d.endsAt);
        units = above ? within(units, elapsed + 1, type(uint40).max) : within(units, 0, d.paid);
        expectRefusal(above ? Code.ABOVE_ELAPSED : Code.NOT_ABOVE_PAID, units, above ? elapsed : d.paid);
        vm.prank(provider);
        escrow.claimUnattested(d.terms, uint40(units), 0, "");
    }

    /// @dev The agent's key lies near strangers' jobs: its signature is not the provider's.
    function test_claimUnattested__onlyByTheProvider(Shape memory s, uint256 who, bool bySignature) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(d.endsAt);
        address other = [agent, buyer, relayer, voucherSigner][who % 4];
        bytes memory sig;
        if (bySignature) sig = sign(other, digest(Digests.unattestedClaim(idOf(d.terms), 1, FAR)));
        expectBadSignature(other, provider);
        vm.prank(other);
        escrow.claimUnattested(d.terms, 1, FAR, sig);
    }

    function test_claimUnattested__requestLapses(Shape memory s, uint256 near) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(d.endsAt);
        uint40 deadline = uint40(nearby(d.endsAt + 1, near)); // from the present second on
        bytes memory sig = sign(provider, digest(Digests.unattestedClaim(idOf(d.terms), 1, deadline)));
        if (deadline == d.endsAt) expectRefusal(Code.TOO_LATE, d.endsAt, deadline);
        escrow.claimUnattested(d.terms, 1, deadline, sig);
    }

    function test_claimUnattested__notTwice(Shape memory s, uint256 units) public {
        ModelDeal memory d = claimedUnattested(bounded(s), units);
        expectWrongStatus(d, Status.LOCKED);
        vm.prank(provider);
        escrow.claimUnattested(d.terms, 1, 0, "");
    }

    function check(ModelDeal memory d, uint256 units, uint256 form) private {
        bytes32 id = idOf(d.terms);
        bytes32 signed = digest(Digests.unattestedClaim(id, units, FAR));
        (address caller, bytes memory sig) = agree(provider, signed, anyForm(form));
        Purses memory was = purses();
        Flow memory f = d.claimUnattested(units, present());
        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealDisputed(id, d.paid, units, 0, 0, d.deadline, f.back, 0, f.buyer);
        vm.prank(caller);
        escrow.claimUnattested(d.terms, uint40(units), FAR, sig);
        assertMoved(d, f, was);
    }
}
