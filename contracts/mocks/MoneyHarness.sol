// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, Status, Terms} from "../interfaces/IMoltEscrow.sol";
import {DealWord} from "../libraries/Deals.sol";
import {Money} from "../libraries/Money.sol";

/// @title The settlement arithmetic as the chain does it, for the parity tests
contract MoneyHarness {
    struct Figures {
        uint256 allocation;
        uint256 due;
        uint256 price;
        uint256 bond;
        uint256 held;
        uint256 toProvider;
        uint256 fee;
        uint256 bondEarned;
    }

    function figures(Terms calldata terms, Deal calldata deal, uint256 gpuSeconds)
        external
        pure
        returns (Figures memory)
    {
        DealWord word = _pack(deal);
        uint256 price = Money.price(terms);
        uint256 bond = Money.part(price, word.bondBps());
        (uint256 toProvider, uint256 fee) = Money.owed(terms, word, gpuSeconds);
        return Figures({
            allocation: Money.allocation(terms),
            due: Money.due(terms, gpuSeconds),
            price: price,
            bond: bond,
            held: _held(terms, word, price + bond, bond),
            toProvider: toProvider,
            fee: fee,
            bondEarned: Money.earned(terms, word, bond, gpuSeconds)
        });
    }

    /// @dev What the escrow keeps for a deal, as its closes take it for granted.
    function _held(Terms calldata terms, DealWord word, uint256 locked, uint256 bond) private pure returns (uint256) {
        uint256 total = locked;
        if (word.isIn(Status.DISPUTED)) {
            (,, total) = Money.stakes(terms, word, bond);
            total += Money.due(terms, word.claim());
        }
        return total - Money.due(terms, word.paid());
    }

    function _pack(Deal calldata deal) private pure returns (DealWord) {
        return DealWord.wrap(
            uint256(deal.status) | (uint256(deal.flags) << 8) | (uint256(deal.feeBps) << 16)
                | (uint256(deal.bondBps) << 32) | (uint256(deal.openedAt) << 48) | (uint256(deal.endsAt) << 88)
                | (uint256(deal.deadline) << 128) | (uint256(deal.paid) << 168) | (uint256(deal.claim) << 208)
                | (uint256(deal.noticeMinutes) << 248)
        );
    }
}
