// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Status, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Proof} from "./Proof.sol";

/// @title What a deal holds, and what a call moved
/// @dev Taken for granted: a deal holds less than 2^96 base units, as all tokens of the escrow are fewer.
abstract contract Ledger is Proof {
    struct Call {
        Terms terms;
        DealWord deal;
        address caller;
        uint40 time;
        uint40 gpuSeconds;
    }

    struct Balances {
        uint96 buyer;
        uint96 provider;
        uint96 fees;
    }

    struct Payouts {
        uint256 toProvider;
        uint256 fee;
    }

    function called(Call memory c, bytes memory data) internal returns (bool done) {
        vm.assume(c.time < END_OF_TIME);
        vm.warp(c.time);
        vm.prank(c.caller);
        (done,) = address(escrow).call(data);
    }

    // ---------------------------------------------------------------- what is paid out

    function owed(Call memory c, uint256 units) internal pure returns (Payouts memory p) {
        unchecked {
            uint256 paid = Money.due(c.terms, c.deal.paid());
            uint256 due = Money.due(c.terms, units);
            p.fee = Money.part(due, c.deal.feeBps()) - Money.part(paid, c.deal.feeBps());
            p.toProvider = due - paid - p.fee;
        }
    }

    function undisputed(Call memory c, uint256 units) internal pure returns (Payouts memory p) {
        uint256 bond = Money.part(Money.price(c.terms), c.deal.bondBps());
        p = owed(c, units);
        unchecked {
            p.toProvider += c.deal.has(Deals.EXCUSED) ? bond : Money.earned(c.terms, c.deal, bond, units);
        }
    }

    /// @dev `held`: what the deal held before. `left`: what it still holds.
    function paysOut(Balances memory b, Payouts memory p, uint256 held, uint256 left) internal view {
        vm.assume(held <= type(uint96).max);
        unchecked {
            uint256 out = held - left;
            bool covered = both(isWithin(out, p.toProvider), isWithin(out - p.toProvider, p.fee));
            bool buyer = grown(balanceOf(BUYER), b.buyer, out - p.toProvider - p.fee);
            assert(both(both(covered, buyer), othersGot(b, p)));
        }
    }

    function othersGot(Balances memory b, Payouts memory p) internal view returns (bool) {
        bool provider = grown(balanceOf(PROVIDER), b.provider, p.toProvider);
        return both(provider, grown(balanceOf(FEE_ACCOUNT), b.fees, p.fee));
    }

    function grown(uint96 now_, uint96 before_, uint256 amount) internal pure returns (bool) {
        unchecked {
            return uint256(now_) == uint256(before_) + uint96(amount);
        }
    }

    /// @dev Whether a part is within the whole, as the compiler asks it: the difference does not wrap around.
    function isWithin(uint256 whole, uint256 part) internal pure returns (bool) {
        unchecked {
            return whole - part <= whole;
        }
    }

    // ---------------------------------------------------------------- before and after

    function before(Call memory c, Status status) internal returns (Balances memory) {
        c.terms.buyer = BUYER;
        c.terms.provider = PROVIDER;
        c.deal = c.deal.withStatus(status);
        bytes32 dealId = escrow.dealIdOf(c.terms);
        vm.store(address(escrow), keccak256(abi.encode(dealId, DEALS_AT)), bytes32(DealWord.unwrap(c.deal)));
        return Balances(balanceOf(BUYER), balanceOf(PROVIDER), balanceOf(FEE_ACCOUNT));
    }

    function stored(Call memory c) internal view returns (DealWord) {
        return dealOf(escrow.dealIdOf(c.terms));
    }

    function dealOf(bytes32 dealId) internal view returns (DealWord) {
        return DealWord.wrap(uint256(vm.load(address(escrow), keccak256(abi.encode(dealId, DEALS_AT)))));
    }

    function balanceOf(address account) internal view returns (uint96) {
        return uint96(uint256(vm.load(address(escrow), keccak256(abi.encode(account, ACCOUNTS_AT)))));
    }

    /// @dev Of a deal that is not disputed.
    function heldBy(Terms memory terms, DealWord deal) internal pure returns (uint256) {
        unchecked {
            uint256 price = Money.price(terms);
            return price + Money.part(price, deal.bondBps()) - Money.due(terms, deal.paid());
        }
    }
}
