// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, Status} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";

import {Proof} from "./Proof.sol";

/// @title A deal's storage word: a write changes its own field, and no other one
contract Words is Proof {
    function setUp() public override {}

    function check_word_opened(uint16 feeBps, uint16 bondBps, uint8 notice, uint40 endsAt, uint40 deadline, uint40 now_)
        public
    {
        vm.warp(now_);
        Deal memory deal = Deals.opened(feeBps, bondBps, notice, endsAt, deadline).unpack();
        assert(deal.status == Status.LOCKED && deal.flags == 0 && deal.paid == 0 && deal.claim == 0);
        assert(deal.feeBps == feeBps && deal.bondBps == bondBps && deal.noticeMinutes == notice);
        assert(deal.openedAt == now_ && deal.endsAt == endsAt && deal.deadline == deadline);
    }

    function check_word_withStatus(DealWord word, uint8 to) public pure {
        vm.assume(valid(word) && to <= uint8(type(Status).max));
        Deal memory wanted = word.unpack();
        wanted.status = Status(to);
        assert(same(word.withStatus(Status(to)), wanted));
    }

    function check_word_withFlag(DealWord word, uint8 flag) public pure {
        vm.assume(valid(word));
        Deal memory wanted = word.unpack();
        wanted.flags |= flag;
        assert(same(word.withFlag(flag), wanted));
        assert(flag == 0 || word.withFlag(flag).has(flag));
    }

    function check_word_withEndsAt(DealWord word, uint40 time) public pure {
        vm.assume(valid(word));
        Deal memory wanted = word.unpack();
        wanted.endsAt = time;
        assert(same(word.withEndsAt(time), wanted));
    }

    function check_word_withDeadline(DealWord word, uint40 time) public pure {
        vm.assume(valid(word));
        Deal memory wanted = word.unpack();
        wanted.deadline = time;
        assert(same(word.withDeadline(time), wanted));
    }

    function check_word_withPaid(DealWord word, uint40 gpuSeconds) public pure {
        vm.assume(valid(word));
        Deal memory wanted = word.unpack();
        wanted.paid = gpuSeconds;
        assert(same(word.withPaid(gpuSeconds), wanted));
    }

    function check_word_withClaim(DealWord word, uint40 gpuSeconds) public pure {
        vm.assume(valid(word));
        Deal memory wanted = word.unpack();
        wanted.claim = gpuSeconds;
        assert(same(word.withClaim(gpuSeconds), wanted));
    }

    /// @dev Beyond its 40 bits a value would spill into the next field: the callers' values fit.
    function fails_word_withPaid(DealWord word, uint256 gpuSeconds) public pure {
        vm.assume(valid(word));
        Deal memory wanted = word.unpack();
        wanted.paid = uint40(gpuSeconds);
        assert(same(word.withPaid(gpuSeconds), wanted));
    }

    function valid(DealWord word) internal pure returns (bool) {
        return word.status() <= uint256(type(Status).max);
    }

    /// @dev Both ways of reading it: as one struct, and field by field.
    function same(DealWord word, Deal memory deal) internal pure returns (bool) {
        return keccak256(abi.encode(word.unpack())) == keccak256(abi.encode(deal)) && word.isIn(deal.status)
            && word.feeBps() == deal.feeBps && word.bondBps() == deal.bondBps && word.openedAt() == deal.openedAt
            && word.endsAt() == deal.endsAt && word.deadline() == deal.deadline && word.paid() == deal.paid
            && word.claim() == deal.claim && word.noticeSeconds() == uint256(deal.noticeMinutes) * 60;
    }
}
