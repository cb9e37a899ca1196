// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, Deal, Match, Offer, Order, Policy, Status, Terms} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "./Digests.sol";
import {Flow, Model, ModelDeal} from "./Model.sol";
import {Scene} from "./Scene.sol";

/// @dev What a fuzzed deal is made of; `bounded` brings each member into its range.
struct Shape {
    uint256 price;
    uint256 gpus;
    uint256 hours_;
    uint256 commitmentHours;
    uint256 feeBps;
    uint256 bondBps;
    uint256 challenge;
    uint256 grace;
    uint256 arbitration;
    uint256 noticeMinutes;
    uint256 shareBps;
    uint256 threshold;
    uint256 slot;
    uint256 form; // of agreement, wherever somebody agrees
}

/// @dev Balances of all that a deal can pay.
struct Purses {
    uint256 buyer;
    uint256 provider;
    uint256 fee;
    uint256 arbiter;
}

/// @title Deals of any shape, brought to any state beside a model of them
abstract contract DealScene is Scene {
    using Model for ModelDeal;

    uint256 internal constant BUYERS_SPARE = 2 ** 94; // for stakes
    uint40 internal constant SOON = 1 hours;

    // ---------------------------------------------------------------- shapes

    function bounded(Shape memory s) internal pure returns (Shape memory) {
        s.hours_ = _bound(s.hours_, 1, 8_760);
        s.commitmentHours = _bound(s.commitmentHours, 0, s.hours_);
        s.gpus = _bound(s.gpus, 1, uint256(type(uint40).max) / (s.hours_ * 1 hours));
        if (s.gpus > type(uint32).max) s.gpus = type(uint32).max;
        s.price = _bound(s.price, 1, 2 ** 94 / (s.gpus * s.hours_));
        s.feeBps = _bound(s.feeBps, 0, 300);
        s.bondBps = _bound(s.bondBps, 0, 5_000);
        s.challenge = _bound(s.challenge, 1 hours, 14 days);
        s.grace = _bound(s.grace, 1 hours, 7 days);
        s.arbitration = _bound(s.arbitration, 1 days, 14 days);
        s.noticeMinutes = _bound(s.noticeMinutes, 1, 255);
        s.shareBps = _bound(s.shareBps, 0, 5_000);
        s.threshold = _bound(s.threshold, 1, 5);
        s.slot = uint64(s.slot);
        return s;
    }

    /// @dev Long enough that a stop can move the end.
    function stoppable(Shape memory s) internal pure returns (Shape memory) {
        s.hours_ = 6 + s.hours_ % 8_755; // the longest notice is 255 minutes
        s.gpus %= 30_000;
        s.commitmentHours %= s.hours_;
        return bounded(s);
    }

    function policyOf(Shape memory s) internal view returns (Policy memory) {
        return Policy({
            arbiter: arbiter,
            bondBps: uint16(s.bondBps),
            challenge: uint32(s.challenge),
            grace: uint32(s.grace),
            noticeMinutes: uint8(s.noticeMinutes),
            threshold: uint8(s.threshold),
            arbitration: uint32(s.arbitration),
            arbiterShareBps: uint16(s.shareBps),
            attestorsHash: keccak256(abi.encode(s.threshold == 0 ? new address[](0) : attestors))
        });
    }

    function offerOf(Shape memory s, bytes32 policyId) internal view returns (Offer memory offer) {
        offer = someOffer(policyId);
        offer.pricePerGpuHour = uint96(s.price);
        offer.gpuCount = uint32(s.gpus);
        offer.minCommitmentHours = uint16(s.commitmentHours);
        offer.slot = uint64(s.slot);
    }

    // ---------------------------------------------------------------- states

    /// @dev The deal is open, as the shape says, and nobody has a token more in the escrow than it takes, but for the
    /// buyer's `BUYERS_SPARE`.
    function opened(Shape memory s) internal returns (ModelDeal memory d) {
        vm.prank(feeSetter);
        escrow.scheduleFee(uint16(s.feeBps));
        vm.warp(present() + 7 days);

        Policy memory policy = policyOf(s);
        Offer memory offer = offerOf(s, register(policy));
        Order memory order = orderFor(offer, uint32(s.gpus), uint16(s.hours_));
        d = Model.open(termsOf(offer, order), policy, s.feeBps, present());
        fund(buyer, d.price() + BUYERS_SPARE);
        fund(provider, d.bond());
        assertEq(escrow.open(signedMatch(offer, order)), idOf(d.terms), "deal id");
    }

    /// @dev Claimed at a time when that many units have passed: after the end, unless the job is completed.
    function claimed(Shape memory s, uint256 units, bool completed) internal returns (ModelDeal memory d) {
        d = opened(s);
        claim(d, _bound(units, 1, d.allocation()), completed);
    }

    function claim(ModelDeal memory d, uint256 units, bool completed) internal {
        warpTo(completed ? d.openedAt + (units + d.terms.gpuCount - 1) / d.terms.gpuCount : d.endsAt);
        bytes32 result = completed ? keccak256("result") : bytes32(0);
        bytes32 receipt = digest(Digests.receipt(idOf(d.terms), units, result, "usage"));
        escrow.claim(
            d.terms,
            uint40(units),
            result,
            "usage",
            sign(agent, receipt),
            attestors,
            attested(receipt, d.policy.threshold, 0)
        );
        d.claimAttested(units, completed, present());
    }

    function disputed(Shape memory s, uint256 units, bool completed, uint256 counter)
        internal
        returns (ModelDeal memory d)
    {
        d = claimed(s, units, completed);
        vm.prank(buyer);
        counter = _bound(counter, d.paid, d.claim - 1);
        escrow.dispute(d.terms, uint40(counter), "evidence", 0, "");
        d.dispute(counter, present());
    }

    /// @dev Stopped at any time at which that is possible.
    function stopped(Shape memory s, uint256 time) internal returns (ModelDeal memory d) {
        d = opened(stoppable(s));
        vm.warp(within(time, d.openedAt, d.endsAt - d.noticeSeconds() - 1));
        vm.prank(buyer);
        escrow.stop(d.terms, 0, "");
        d.stop(present());
    }

    function claimedUnattested(Shape memory s, uint256 units) internal returns (ModelDeal memory d) {
        d = opened(s);
        warpTo(d.endsAt);
        units = _bound(units, 1, d.allocation());
        vm.prank(provider);
        escrow.claimUnattested(d.terms, uint40(units), 0, "");
        d.claimUnattested(units, present());
    }

    /// @dev Disputed with or without a quorum, as the seed says.
    function disputedEitherWay(Shape memory s, uint256 units, uint256 counter, uint256 seed)
        internal
        returns (ModelDeal memory)
    {
        if (seed % 3 == 0) return claimedUnattested(s, units);
        return disputed(s, units, seed % 3 == 1, counter);
    }

    function release(ModelDeal memory d, uint256 units) internal {
        escrow.release(d.terms, uint40(units), voucher(d, units));
        d.release(units);
    }

    // ---------------------------------------------------------------- evidence

    function voucher(ModelDeal memory d, uint256 units) internal view returns (bytes memory) {
        return sign(voucherSigner, digest(Digests.voucher(idOf(d.terms), units)));
    }

    // ---------------------------------------------------------------- what happened

    function purses() internal view returns (Purses memory) {
        return Purses(balanceOf(buyer), balanceOf(provider), balanceOf(feeRecipient), balanceOf(arbiter));
    }

    /// @dev The balances moved as the model says, and the deal stands as it does; nothing is lost on the way.
    function assertMoved(ModelDeal memory d, Flow memory f, Purses memory was) internal view {
        Purses memory now_ = purses();
        assertEq(now_.provider, was.provider + f.earned + f.back, "to the provider");
        assertEq(now_.fee, was.fee + f.fee, "fee");
        assertEq(now_.arbiter, was.arbiter + f.arbiter, "to the arbiter");
        assertEq(now_.buyer, was.buyer + f.buyer - f.stake, "to the buyer");
        assertStands(d);
        uint256 inside = now_.buyer + now_.provider + now_.fee + now_.arbiter + d.held;
        assertEq(token.balanceOf(address(escrow)), inside, "conservation");
    }

    function assertStands(ModelDeal memory d) internal view {
        assertEq(keccak256(abi.encode(escrow.dealOf(idOf(d.terms)))), keccak256(abi.encode(d.shown())), "deal");
        uint256 inUse = d.status == Status.LOCKED ? d.terms.gpuCount : 0;
        assertEq(escrow.gpusInUse(provider, d.terms.slot), inUse, "GPUs in use");
    }

    function expectWrongStatus(ModelDeal memory d, Status needed) internal {
        expectRefusal(Code.WRONG_STATUS, uint256(d.status), uint256(needed));
    }

    function warpTo(uint256 time) internal {
        if (time > present()) vm.warp(time);
    }
}
