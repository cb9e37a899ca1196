// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {console} from "forge-std/console.sol";

/// @dev Everything that has to happen in a campaign, at least once: the transitions of a deal in each of their kinds,
/// what people do with their accounts and roles, in which form they agree, and what a thief tries.
enum Step {
    DEPOSIT,
    DEPOSIT_BY_PERMIT,
    REQUEST_WITHDRAW,
    WITHDRAW_ALL_MARKED,
    WITHDRAW_WHAT_IS_LEFT,
    CANCEL_OFFERS,
    CANCEL_ORDERS,
    APPROVE,
    REVOKE,
    REGISTER_POLICY_AGAIN,
    OPEN_BY_OPENER,
    OPEN_BY_BUYER,
    OPEN_BY_ANYONE,
    OPEN_A_RESTING_MATCH,
    OPEN_OF_THIEF_WITH_HIMSELF,
    RELEASE_INTERIM_LOCKED,
    RELEASE_FULL_LOCKED,
    RELEASE_INTERIM_CLAIMED,
    RELEASE_FULL_CLAIMED,
    STOP_EXCUSED,
    STOP_NOT_EXCUSED,
    CANCEL_DEAL_NOTHING_PAID,
    CANCEL_DEAL_PARTLY_PAID,
    CANCEL_DEAL_EXCUSED,
    CLAIM_COMPLETED,
    CLAIM_AFTER_THE_END,
    CLAIM_UNATTESTED,
    DISPUTE_ALL_THAT_IS_UNPAID,
    DISPUTE_WITH_A_COUNTER,
    RESOLVE_WITH_SHARE,
    RESOLVE_WITHOUT_SHARE,
    RESOLVE_BY_PANEL,
    RESOLVE_UNATTESTED,
    CONCEDE_BY_BUYER,
    CONCEDE_BY_PROVIDER,
    SETTLE_LOCKED,
    SETTLE_CLAIMED,
    SETTLE_DISPUTED,
    FINALIZE_LOCKED,
    FINALIZE_CLAIMED,
    FINALIZE_DISPUTED_ATTESTED,
    FINALIZE_DISPUTED_UNATTESTED,
    CLOSED_AS_RELEASED,
    CLOSED_AS_REFUNDED,
    PAUSE,
    UNPAUSE,
    OPEN_REFUSED_WHILE_PAUSED,
    EXIT_WHILE_PAUSED,
    SCHEDULE_FEE,
    OPEN_AT_ANOTHER_FEE,
    OFFER_ROLE,
    ACCEPT_ROLE,
    BATCH_ITEM_DONE,
    BATCH_ITEM_REFUSED,
    BATCH_TAKEN_BACK,
    AGREED_BY_OWN_CALL,
    AGREED_BY_SIGNATURE_65,
    AGREED_BY_SIGNATURE_64,
    AGREED_BY_APPROVAL,
    RESTING_MATCH_OUTLIVED_A_TRICK,
    RESTING_MATCH_REFUSED,
    CANCELLED_MATCH_REFUSED,
    TOKEN_CALLBACK,
    THIEF_REPLAYED,
    THIEF_CAME_TOO_EARLY,
    THIEF_CAME_TO_A_CLOSED_DEAL,
    THIEF_FORGED_A_VOUCHER,
    THIEF_USED_THE_AGENTS_KEY,
    THIEF_FORGED_ATTESTORS,
    THIEF_DOUBLED_AN_ATTESTOR,
    THIEF_WAS_NOT_THE_SENDER,
    THIEF_CHANGED_THE_TERMS,
    THIEF_WANTED_A_ROLE,
    THIEF_WANTED_A_BALANCE,
    THIEF_TRADED_WITH_HIMSELF,
    THIEF_OPENED_TWICE
}

/// @title How often each step really happened
abstract contract Steps {
    mapping(uint256 step => uint256) private _counts;

    function count(Step step) internal {
        _counts[uint256(step)]++;
    }

    /// @dev The names, in the enum's order.
    function names() private pure returns (string[] memory) {
        // forgefmt: disable-next-item
        string memory all =
            "deposit|deposit by permit|request withdraw|withdraw: all that was marked|withdraw: what is left|"
            "cancel: offers|cancel: orders|approve|revoke|register policy again|"
            "open by the opener|open by the buyer|open by anyone|open: a resting match|open: a thief with himself|"
            "release: interim, LOCKED|release: full, LOCKED|release: interim, CLAIMED|release: full, CLAIMED|"
            "stop: excused|stop: not excused|"
            "cancelDeal: nothing paid|cancelDeal: partly paid|cancelDeal: excused|"
            "claim: completed|claim: after the end|claimUnattested|"
            "dispute: all that is unpaid|dispute: with a counter|"
            "resolve: with share|resolve: without share|resolve: by panel|resolve: unattested claim|"
            "concede: buyer|concede: provider|settle: LOCKED|settle: CLAIMED|settle: DISPUTED|"
            "finalize: LOCKED|finalize: CLAIMED|finalize: DISPUTED, attested|finalize: DISPUTED, unattested|"
            "closed as RELEASED|closed as REFUNDED|"
            "pause|unpause|open refused while paused|exit while paused|scheduleFee|open at another fee|"
            "offerRole|acceptRole|"
            "multicall: item done|multicall: item refused, skipped|multicall: item refused, all taken back|"
            "agreed by own call|agreed by 65-byte signature|agreed by 64-byte signature|agreed by approval|"
            "resting match outlived a trick|resting match refused|cancelled match refused|token called back|"
            "thief: replayed a request|thief: came too early|thief: came to a closed deal|thief: forged a voucher|"
            "thief: used the agent's key|thief: forged attestors|thief: doubled an attestor|"
            "thief: was not the sender|thief: changed the terms|thief: wanted a role|thief: wanted a balance|"
            "thief: traded with himself|thief: opened an order twice";
        return split(bytes(all));
    }

    function split(bytes memory all) private pure returns (string[] memory parts) {
        parts = new string[](uint256(type(Step).max) + 1);
        uint256 start = 0;
        uint256 found = 0;
        for (uint256 i = 0; i <= all.length; i++) {
            if (i < all.length && all[i] != "|") continue;
            bytes memory part = new bytes(i - start);
            for (uint256 j = 0; j < part.length; j++) {
                part[j] = all[start + j];
            }
            parts[found++] = string(part);
            start = i + 1;
        }
        require(found == parts.length, "a step has no name");
    }

    /// @dev Print the counts, and fail for a step that never happened.
    function report(string memory title) internal view {
        string[] memory name = names();
        console.log("%s; how often each step happened:", title);
        uint256 never = 0;
        for (uint256 i = 0; i < name.length; i++) {
            console.log("%s  %s%s", padded(_counts[i]), name[i], _counts[i] == 0 ? "   NEVER HAPPENED" : "");
            if (_counts[i] == 0) never++;
        }
        require(never == 0, "a step never happened");
    }

    function padded(uint256 number) private pure returns (string memory) {
        bytes memory text = "      ";
        for (uint256 i = text.length; i > 0 && (number > 0 || i == text.length); i--) {
            text[i - 1] = bytes1(uint8(48 + number % 10));
            number /= 10;
        }
        return string(text);
    }
}
