// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Match, Offer, Order, Status} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Ledger} from "./Ledger.sol";

/// @title What a new deal holds is what it took: the price from the buyer, the bond from the provider
/// @dev That the price of the hours is the price of the GPU-seconds, by which the deal pays, is proven in Amounts.
/// Signatures are empty: a party makes the call himself, or has approved what he would sign.
contract Opening is Ledger {
    struct Opened {
        bool done;
        DealWord deal;
    }

    function check_conservation_open(Offer memory offer, Order memory order, address caller, uint40 time) public {
        (offer.provider, order.buyer) = (PROVIDER, BUYER);
        Balances memory b = Balances(balanceOf(BUYER), balanceOf(PROVIDER), balanceOf(FEE_ACCOUNT));
        Opened memory o = opened(offer, order, caller, time);
        if (!o.done) return;

        uint256 price = priceOf(offer, order);
        bool buyer = fallen(balanceOf(BUYER), b.buyer, price);
        bool provider = fallen(balanceOf(PROVIDER), b.provider, Money.part(price, o.deal.bondBps()));
        assert(both(both(buyer, provider), balanceOf(FEE_ACCOUNT) == b.fees));
        assert(both(o.deal.isIn(Status.LOCKED), both(o.deal.paid() == 0, o.deal.claim() == 0)));
    }

    /// @dev The bond is not for nothing.
    function fails_conservation_open(Offer memory offer, Order memory order, address caller, uint40 time) public {
        (offer.provider, order.buyer) = (PROVIDER, BUYER);
        (offer.pricePerGpuHour, order.gpuCount, order.durationHours) = (1 ether, 1, 1);
        uint96 provider = balanceOf(PROVIDER);
        if (!opened(offer, order, caller, time).done) return;
        assert(balanceOf(PROVIDER) == provider);
    }

    function opened(Offer memory offer, Order memory order, address caller, uint40 time)
        internal
        returns (Opened memory o)
    {
        vm.assume(time < END_OF_TIME);
        vm.warp(time);
        vm.prank(caller);
        bytes memory dealId;
        (o.done, dealId) = address(escrow).call(abi.encodeCall(IMoltEscrow.open, (Match(offer, order, "", ""))));
        bytes32 at = keccak256(abi.encode(bytes32(dealId), DEALS_AT));
        o.deal = DealWord.wrap(uint256(vm.load(address(escrow), at)));
    }

    function priceOf(Offer memory offer, Order memory order) internal pure returns (uint256) {
        unchecked {
            return uint256(offer.pricePerGpuHour) * order.gpuCount * order.durationHours;
        }
    }

    function fallen(uint96 now_, uint96 before_, uint256 amount) internal pure returns (bool) {
        unchecked {
            return uint256(before_) == uint256(now_) + uint96(amount);
        }
    }
}
