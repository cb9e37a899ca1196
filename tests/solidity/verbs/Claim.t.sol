// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {DealScene, Purses, Shape} from "../support/Deal.sol";
import {Digests} from "../support/Digests.sol";
import {Flow, Model, ModelDeal} from "../support/Model.sol";

/// @dev All that a claim is made of, so that a test can spoil one part.
struct Claim {
    uint256 units;
    bytes32 result;
    bytes32 usage;
    address caller;
    bytes agentSig;
    address[] attestors;
    bytes attestorSigs;
}

contract ClaimTest is DealScene {
    using Model for ModelDeal;

    // ---------------------------------------------------------------- what it does

    function test_claim__afterTheEnd(Shape memory s, uint256 units, uint256 time, uint256 quorum) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(within(time, d.endsAt, d.deadline - 1));
        check(d, within(units, 1, d.allocation()), 0, quorum, s.form);
    }

    function test_claim__ofACompletedJob(Shape memory s, uint256 units, uint256 time, bytes32 result) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(within(time, d.openedAt + 1, d.deadline - 1));
        if (result == 0) result = keccak256("result");
        check(d, within(units, 1, d.elapsed(present())), result, units, s.form);
    }

    function test_claim__aboveWhatVouchersPaid(Shape memory s, uint256 paid, uint256 units) public {
        ModelDeal memory d = opened(bounded(s));
        release(d, within(paid, 1, d.allocation() - 1));
        vm.warp(d.endsAt);
        check(d, within(units, d.paid + 1, d.allocation()), 0, paid, s.form);
    }

    /// @dev A stop shortens what can be claimed.
    function test_claim__afterAStop(Shape memory s, uint256 units, uint256 time) public {
        ModelDeal memory d = stopped(s, time);
        vm.warp(d.endsAt);
        check(d, within(units, 1, d.elapsed(d.endsAt)), 0, time, s.form);
    }

    // ---------------------------------------------------------------- when

    function test_claim__fromTheEndToTheDeadline(Shape memory s, uint256 units, uint256 near, bool late) public {
        ModelDeal memory d = opened(bounded(s));
        units = _bound(units, 1, d.terms.gpuCount * (d.endsAt - d.openedAt - 1));
        vm.warp(nearby(late ? d.deadline : d.endsAt, near));
        Claim memory c = claimOf(d, units, 0, 0);
        uint256 time = present();
        if (time >= d.deadline) expectRefusal(Code.TOO_LATE, time, d.deadline);
        else if (time < d.endsAt) expectRefusal(Code.NOT_COMPLETED, time, d.endsAt);
        send(d, c);
    }

    function test_claim__notMoreThanHasPassed(Shape memory s, uint256 units, uint256 time, bool completed) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(completed ? within(time, d.openedAt, d.deadline - 1) : d.endsAt);
        uint256 elapsed = d.elapsed(present());
        units = within(units, elapsed + 1, type(uint40).max);
        Claim memory c = claimOf(d, units, completed ? bytes32("result") : bytes32(0), 0);
        expectRefusal(Code.ABOVE_ELAPSED, units, elapsed);
        send(d, c);
    }

    function test_claim__notWhatIsPaidAlready(Shape memory s, uint256 paid, uint256 units) public {
        ModelDeal memory d = opened(bounded(s));
        release(d, within(paid, 1, d.allocation() - 1));
        vm.warp(d.endsAt);
        units = within(units, 0, d.paid);
        Claim memory c = claimOf(d, units, 0, 0);
        expectRefusal(Code.NOT_ABOVE_PAID, units, d.paid);
        send(d, c);
    }

    function test_claim__onlyOnce(Shape memory s, uint256 units) public {
        ModelDeal memory d = opened(bounded(s));
        vm.warp(d.endsAt);
        Claim memory c = claimOf(d, within(units, 1, d.allocation()), 0, 0);
        send(d, c);
        expectRefusal(Code.WRONG_STATUS, uint256(Status.CLAIMED), uint256(Status.LOCKED));
        send(d, c);
    }

    // ---------------------------------------------------------------- by whom

    function test_claim__needsTheAgent(Shape memory s, uint256 who) public {
        (ModelDeal memory d, Claim memory c) = ended(s);
        address[5] memory others = [buyer, provider, voucherSigner, stranger, attestors[0]];
        c.agentSig = signCompact(others[who % 5], receiptOf(d, c));
        expectBadSignature(others[who % 5], agent);
        send(d, c);
        c.agentSig = "";
        c.caller = others[who % 5];
        expectBadSignature(others[who % 5], agent);
        send(d, c);
    }

    /// @dev The signatures are of one receipt: of no other figure, result or usage.
    function test_claim__ofAnotherReceipt(Shape memory s, uint256 member) public {
        (ModelDeal memory d, Claim memory c) = ended(s);
        bytes32 signed = receiptOf(d, c);
        if (member % 3 == 0) c.units -= 1;
        if (member % 3 == 1) c.result = keccak256("another result");
        if (member % 3 == 2) c.usage = keccak256("another usage");
        address found = ecrecoverOf(receiptOf(d, c), sign(agent, signed));
        c.agentSig = sign(agent, signed);
        expectBadSignature(found, agent);
        send(d, c);
    }

    function test_claim__needsTheThreshold(Shape memory s, uint256 count) public {
        (ModelDeal memory d, Claim memory c) = ended(s);
        count = within(count, 0, d.policy.threshold - 1);
        c.attestorSigs = attested(receiptOf(d, c), count, 0);
        expectRefusal(Code.QUORUM, count, d.policy.threshold);
        send(d, c);
    }

    function test_claim__signaturesAre64BytesEach(Shape memory s, uint256 cut) public {
        (ModelDeal memory d, Claim memory c) = ended(s);
        cut = _bound(cut, 1, 63);
        c.attestorSigs = bytes.concat(attested(receiptOf(d, c), 5, 0), new bytes(cut));
        expectRefusal(Code.QUORUM, 5, d.policy.threshold);
        send(d, c);
    }

    /// @dev I25: the same one twice is out of order, as any pair that does not ascend.
    function test_claim__attestorsAscend(Shape memory s, uint256 one, uint256 other) public {
        s.threshold = 2;
        (ModelDeal memory d, Claim memory c) = ended(s);
        one = _bound(one, 0, 4);
        other = _bound(other, 0, one);
        bytes32 receipt = receiptOf(d, c);
        c.attestorSigs = bytes.concat(signCompact(attestors[one], receipt), signCompact(attestors[other], receipt));
        expectRefusal(Code.ATTESTOR_ORDER, uint160(attestors[other]), uint160(attestors[one]));
        send(d, c);
    }

    function test_claim__attestorsAreOfTheSet(Shape memory s, uint256 seed) public {
        s.threshold = 1;
        (ModelDeal memory d, Claim memory c) = ended(s);
        address unknown = person(string.concat("unknown ", vm.toString(seed)));
        c.attestorSigs = signCompact(unknown, receiptOf(d, c));
        expectRefusal(Code.ATTESTOR_UNKNOWN, uint160(unknown), 0);
        send(d, c);
    }

    function test_claim__notASignatureAtAll(Shape memory s) public {
        s.threshold = 1;
        (ModelDeal memory d, Claim memory c) = ended(s);
        c.attestorSigs = new bytes(64);
        expectRefusal(Code.ATTESTOR_ORDER, 0, 0);
        send(d, c);
    }

    function test_claim__theSetIsThePolicys(Shape memory s, uint256 member, bool shorter) public {
        (ModelDeal memory d, Claim memory c) = ended(s);
        if (shorter) {
            c.attestors = new address[](4);
            for (uint256 i = 0; i < 4; i++) {
                c.attestors[i] = attestors[i];
            }
        } else {
            c.attestors[member % 5] = stranger;
        }
        uint256 given = uint256(keccak256(abi.encode(c.attestors)));
        expectRefusal(Code.ATTESTOR_SET, given, uint256(d.policy.attestorsHash));
        send(d, c);
    }

    /// @dev A party in the policy's set: its signature never counts.
    function test_claim__noPartyAttests(Shape memory s, uint256 who) public {
        address party = [buyer, provider, agent][who % 3];
        attestors = new address[](1);
        attestors[0] = party;
        s.threshold = 1;
        (ModelDeal memory d, Claim memory c) = ended(s);
        expectRefusal(Code.ATTESTOR_IS_PARTY, uint160(party), uint160(party));
        send(d, c);
    }

    /// @dev I39: without attestors nobody can make a claim that stands by silence.
    function test_claim__neverWithoutAttestors(Shape memory s, bool withSignatures) public {
        s = bounded(s);
        s.threshold = 0;
        ModelDeal memory d = opened(s);
        vm.warp(d.endsAt);
        Claim memory c = claimOf(d, 1, 0, 0);
        if (!withSignatures) {
            c.attestors = new address[](0);
            c.attestorSigs = "";
        }
        expectRefusal(Code.UNATTESTED_POLICY, 0, 1);
        send(d, c);
    }

    // ---------------------------------------------------------------- parts

    function check(ModelDeal memory d, uint256 units, bytes32 result, uint256 quorum, uint256 form) private {
        Claim memory c = claimOf(d, units, result, form);
        uint256 count = within(quorum, d.policy.threshold, attestors.length);
        c.attestorSigs = attested(receiptOf(d, c), count, _bound(quorum >> 8, 0, attestors.length - count));
        Purses memory was = purses();
        Flow memory nothing;
        d.claimAttested(units, result != 0, present());

        vm.expectEmit(address(escrow));
        emit IMoltEscrow.DealClaimed(idOf(d.terms), units, result, "usage", d.deadline);
        send(d, c);
        assertMoved(d, nothing, was);
    }

    /// @dev A deal after its end, and a claim on all of it that would be accepted.
    function ended(Shape memory s) private returns (ModelDeal memory d, Claim memory c) {
        uint256 threshold = s.threshold;
        s = bounded(s);
        if (threshold == 1 || threshold == 2) s.threshold = threshold;
        d = opened(s);
        vm.warp(d.endsAt);
        c = claimOf(d, d.allocation(), 0, 0);
    }

    function claimOf(ModelDeal memory d, uint256 units, bytes32 result, uint256 form) private returns (Claim memory c) {
        c.units = units;
        c.result = result;
        c.usage = "usage";
        bytes32 receipt = receiptOf(d, c);
        (c.caller, c.agentSig) = agree(agent, receipt, anyForm(form));
        c.attestors = attestors;
        uint256 count = d.policy.threshold;
        c.attestorSigs = attested(receipt, count < attestors.length ? count : attestors.length, 0);
    }

    function receiptOf(ModelDeal memory d, Claim memory c) private view returns (bytes32) {
        return digest(Digests.receipt(idOf(d.terms), c.units, c.result, c.usage));
    }

    function send(ModelDeal memory d, Claim memory c) private {
        vm.prank(c.caller);
        escrow.claim(d.terms, uint40(c.units), c.result, c.usage, c.agentSig, c.attestors, c.attestorSigs);
    }
}
