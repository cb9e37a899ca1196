// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, Status} from "../interfaces/IMoltEscrow.sol";

/// @title A deal's storage word
/// @dev From the lowest bit: status 8, flags 8, feeBps 16, bondBps 16, openedAt 40, endsAt 40, deadline 40, paid 40,
/// claim 40, noticeMinutes 8. Packed by hand because the compiler would write the word once per field.
library Deals {
    uint8 internal constant EXCUSED = 1; // the bond is not at stake any more
    uint8 internal constant ATTESTED = 2; // a quorum of attestors signed the claim
    uint8 internal constant STOPPED = 4; // the buyer moved the end

    function pack(Deal memory deal) internal pure returns (uint256) {
        return uint256(deal.status) | (uint256(deal.flags) << 8) | (uint256(deal.feeBps) << 16)
            | (uint256(deal.bondBps) << 32) | (uint256(deal.openedAt) << 48) | (uint256(deal.endsAt) << 88)
            | (uint256(deal.deadline) << 128) | (uint256(deal.paid) << 168) | (uint256(deal.claim) << 208)
            | (uint256(deal.noticeMinutes) << 248);
    }

    function unpack(uint256 word) internal pure returns (Deal memory) {
        return Deal({
            status: Status(uint8(word)),
            flags: uint8(word >> 8),
            feeBps: uint16(word >> 16),
            bondBps: uint16(word >> 32),
            openedAt: uint40(word >> 48),
            endsAt: uint40(word >> 88),
            deadline: uint40(word >> 128),
            paid: uint40(word >> 168),
            claim: uint40(word >> 208),
            noticeMinutes: uint8(word >> 248)
        });
    }
}
