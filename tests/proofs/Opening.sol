// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Match, Offer, Order, Status} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Ledger} from "./Ledger.sol";

/// @title What a deal holds when it opens, buyer and provider have given
/// @dev The buyer the price of the hours, the provider the bond on it. Amounts proves that the hours cost what their
/// GPU-seconds do, which is what the other proofs count a deal's holdings from. Signatures are empty, as in Verbs.sol.
contract Opening is Ledger {
    struct Pair {
        Offer offer;
        Order order;
        address opener;
        uint40 time;
    }

    function check_conservation_open(Pair memory pair) public {
        opens(pair, true);
    }

    /// @dev The buyer pays: figures that a counterexample is easily found for.
    function fails_conservation_open(Pair memory pair) public {
        pair.offer.pricePerGpuHour = 1 ether;
        (pair.order.gpuCount, pair.order.durationHours) = (1, 1);
        opens(pair, false);
    }

    function opens(Pair memory pair, bool paid) internal {
        pair.order.buyer = BUYER;
        pair.offer.provider = PROVIDER;
        (uint96 buyers, uint96 providers) = (balanceOf(BUYER), balanceOf(PROVIDER));
        (bool done, bytes32 dealId) = opened(pair);
        if (!done) return;
        DealWord deal = dealOf(dealId);
        unchecked {
            uint256 price = uint256(pair.offer.pricePerGpuHour) * pair.order.gpuCount * pair.order.durationHours;
            bool buyer = grown(buyers, balanceOf(BUYER), oneOf(paid, price, 0));
            bool provider = grown(providers, balanceOf(PROVIDER), Money.part(price, deal.bondBps()));
            assert(both(both(buyer, provider), both(deal.isIn(Status.LOCKED), deal.paid() == 0)));
        }
    }

    function opened(Pair memory pair) internal returns (bool done, bytes32 dealId) {
        vm.assume(pair.time < END_OF_TIME);
        vm.warp(pair.time);
        vm.prank(pair.opener);
        bytes memory answer;
        (done, answer) = address(escrow).call(abi.encodeCall(IMoltEscrow.open, (Match(pair.offer, pair.order, "", ""))));
        if (done) dealId = abi.decode(answer, (bytes32));
    }
}
