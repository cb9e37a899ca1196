// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Deal, Terms} from "../interfaces/IMoltEscrow.sol";
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
        uint256 price = Money.price(terms);
        (uint256 toProvider, uint256 fee) = Money.owed(terms, deal, gpuSeconds);
        return Figures({
            allocation: Money.allocation(terms),
            due: Money.due(terms, gpuSeconds),
            price: price,
            bond: Money.bond(price, deal.bondBps),
            held: Money.held(terms, deal),
            toProvider: toProvider,
            fee: fee,
            bondEarned: Money.bondEarned(terms, deal, gpuSeconds)
        });
    }
}
