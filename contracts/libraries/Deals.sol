// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, Status} from "../interfaces/IMoltEscrow.sol";

/// @dev A deal's storage word, read and changed in place: as a struct the compiler would read and write it field by field.
type DealWord is uint256;

using Deals for DealWord global;

/// @title A deal's storage word
/// @dev From the lowest bit: status 8, flags 8, feeBps 16, bondBps 16, openedAt 40, endsAt 40, deadline 40, paid 40,
/// claim 40, noticeMinutes 8.
library Deals {
    uint8 internal constant EXCUSED = 1; // the bond is not at stake any more
    uint8 internal constant ATTESTED = 2; // a quorum of attestors signed the claim
    uint8 internal constant STOPPED = 4; // the buyer moved the end

    uint256 private constant FLAGS_AT = 8;
    uint256 private constant FEE_BPS_AT = 16;
    uint256 private constant BOND_BPS_AT = 32;
    uint256 private constant OPENED_AT = 48;
    uint256 private constant ENDS_AT = 88;
    uint256 private constant DEADLINE_AT = 128;
    uint256 private constant PAID_AT = 168;
    uint256 private constant CLAIM_AT = 208;
    uint256 private constant NOTICE_MINUTES_AT = 248;

    /// @dev A deal that opens now.
    function opened(uint256 feeBps_, uint256 bondBps_, uint256 noticeMinutes, uint256 endsAt_, uint256 deadline_)
        internal
        view
        returns (DealWord)
    {
        return DealWord.wrap(
            uint256(Status.LOCKED) | (feeBps_ << FEE_BPS_AT) | (bondBps_ << BOND_BPS_AT)
                | (block.timestamp << OPENED_AT) | (endsAt_ << ENDS_AT) | (deadline_ << DEADLINE_AT)
                | (noticeMinutes << NOTICE_MINUTES_AT)
        );
    }

    /// @dev As a number: the compiler checks the range of an enum wherever it meets one.
    function status(DealWord deal) internal pure returns (uint256) {
        return uint8(DealWord.unwrap(deal));
    }

    function isIn(DealWord deal, Status status_) internal pure returns (bool) {
        return deal.status() == uint256(status_);
    }

    function has(DealWord deal, uint8 flag) internal pure returns (bool) {
        return (DealWord.unwrap(deal) >> FLAGS_AT) & flag != 0;
    }

    function feeBps(DealWord deal) internal pure returns (uint256) {
        return uint16(DealWord.unwrap(deal) >> FEE_BPS_AT);
    }

    function bondBps(DealWord deal) internal pure returns (uint256) {
        return uint16(DealWord.unwrap(deal) >> BOND_BPS_AT);
    }

    function openedAt(DealWord deal) internal pure returns (uint256) {
        return uint40(DealWord.unwrap(deal) >> OPENED_AT);
    }

    function endsAt(DealWord deal) internal pure returns (uint256) {
        return uint40(DealWord.unwrap(deal) >> ENDS_AT);
    }

    /// @dev Of the present status: finalize is due from this second on.
    function deadline(DealWord deal) internal pure returns (uint256) {
        return uint40(DealWord.unwrap(deal) >> DEADLINE_AT);
    }

    function paid(DealWord deal) internal pure returns (uint256) {
        return uint40(DealWord.unwrap(deal) >> PAID_AT);
    }

    function claim(DealWord deal) internal pure returns (uint256) {
        return uint40(DealWord.unwrap(deal) >> CLAIM_AT);
    }

    /// @dev Also the tolerated start-up time.
    function noticeSeconds(DealWord deal) internal pure returns (uint256) {
        unchecked {
            return (DealWord.unwrap(deal) >> NOTICE_MINUTES_AT) * 1 minutes;
        }
    }

    function withStatus(DealWord deal, Status to) internal pure returns (DealWord) {
        return DealWord.wrap((DealWord.unwrap(deal) & ~uint256(type(uint8).max)) | uint256(to));
    }

    function withFlag(DealWord deal, uint8 flag) internal pure returns (DealWord) {
        return DealWord.wrap(DealWord.unwrap(deal) | (uint256(flag) << FLAGS_AT));
    }

    function withEndsAt(DealWord deal, uint256 time) internal pure returns (DealWord) {
        return _with(deal, ENDS_AT, time);
    }

    function withDeadline(DealWord deal, uint256 time) internal pure returns (DealWord) {
        return _with(deal, DEADLINE_AT, time);
    }

    function withPaid(DealWord deal, uint256 gpuSeconds) internal pure returns (DealWord) {
        return _with(deal, PAID_AT, gpuSeconds);
    }

    function withClaim(DealWord deal, uint256 gpuSeconds) internal pure returns (DealWord) {
        return _with(deal, CLAIM_AT, gpuSeconds);
    }

    function unpack(DealWord deal) internal pure returns (Deal memory) {
        uint256 word = DealWord.unwrap(deal);
        return Deal({
            status: Status(deal.status()),
            flags: uint8(word >> FLAGS_AT),
            feeBps: uint16(word >> FEE_BPS_AT),
            bondBps: uint16(word >> BOND_BPS_AT),
            openedAt: uint40(word >> OPENED_AT),
            endsAt: uint40(word >> ENDS_AT),
            deadline: uint40(word >> DEADLINE_AT),
            paid: uint40(word >> PAID_AT),
            claim: uint40(word >> CLAIM_AT),
            noticeMinutes: uint8(word >> NOTICE_MINUTES_AT)
        });
    }

    /// @dev The callers' values fit: times are block times plus bounded windows, GPU-seconds are within the allocation.
    function _with(DealWord deal, uint256 position, uint256 value) private pure returns (DealWord) {
        return DealWord.wrap((DealWord.unwrap(deal) & ~(uint256(type(uint40).max) << position)) | (value << position));
    }
}
