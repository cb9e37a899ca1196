// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMoltEscrow, Status, Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Ledger} from "./Ledger.sol";

/// @title What a deal holds is whole where a provider's claim without a quorum becomes a dispute
/// @dev A disputed deal holds what the contested GPU-seconds cost, and both stakes. Provider and fee account get what the
/// formulas of Money say, and the buyer all the rest, less his stake. Signatures are empty, as in Verbs.sol.
contract Contested is Ledger {
    function check_conservation_claimUnattested(Call memory c) public {
        Balances memory b = before(c, Status.LOCKED);
        if (!called(c, claimUnattested(c))) return;
        isContested(c, b, c.deal.paid());
    }

    /// @dev An hour's work of one GPU, none of it paid yet, and a bond of a tenth.
    function fails_conservation_claimUnattested(Call memory c) public {
        c.terms.gpuCount = 1;
        c.terms.duration = 1 hours;
        c.terms.pricePerGpuHour = 1 ether;
        uint256 conditions = uint256(Status.LOCKED) | (30 << 16) | (1_000 << 32);
        c.deal = DealWord.wrap(conditions | (1_000 << 48) | (4_600 << 88) | (9_000 << 128)); // from, to, deadline
        before(c, Status.LOCKED);
        assert(!called(c, claimUnattested(c)));
    }

    function claimUnattested(Call memory c) internal pure returns (bytes memory) {
        return abi.encodeCall(IMoltEscrow.claimUnattested, (c.terms, c.gpuSeconds, NO_DEADLINE, ""));
    }

    // ---------------------------------------------------------------- what is paid out

    struct Stakes {
        uint256 kept; // what is paid earned of the bond
        uint256 stake; // the provider's
        uint256 pot; // both sides' stakes; without a quorum the buyer has none
    }

    function stakesOf(Terms memory terms, DealWord deal) internal pure returns (Stakes memory s) {
        unchecked {
            s.kept = earned(terms, deal, deal.paid());
            s.stake = earned(terms, deal, deal.claim()) - s.kept;
            s.pot = deal.has(Deals.ATTESTED) ? 2 * s.stake : s.stake;
        }
    }

    function earned(Terms memory terms, DealWord deal, uint256 units) internal pure returns (uint256) {
        return Money.earned(terms, deal, Money.part(Money.price(terms), deal.bondBps()), units);
    }

    /// @dev What a disputed deal holds.
    function contested(Terms memory terms, DealWord deal, Stakes memory s) internal pure returns (uint256) {
        unchecked {
            return Money.due(terms, deal.claim()) - Money.due(terms, deal.paid()) + s.pot;
        }
    }

    /// @dev The provider keeps of his bond what the counter earns; excused, all but his stake.
    function isContested(Call memory c, Balances memory b, uint256 counter) internal view {
        DealWord deal = stored(c);
        Stakes memory s = stakesOf(c.terms, deal);
        Payouts memory p = owed(c, counter);
        unchecked {
            uint256 bond = Money.part(Money.price(c.terms), c.deal.bondBps());
            p.toProvider += deal.has(Deals.EXCUSED) ? bond - s.stake : s.kept;
            uint256 held = heldBy(c.terms, c.deal);
            vm.assume(held <= type(uint96).max);
            uint256 rest = held - contested(c.terms, deal, s) - p.toProvider - p.fee;
            bool buyer = balanceOf(BUYER) == uint96(b.buyer + rest); // negative where his stake is more than he gets
            assert(both(buyer, othersGot(b, p)));
        }
    }
}
