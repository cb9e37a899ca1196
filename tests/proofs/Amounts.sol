// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Terms} from "../../contracts/interfaces/IMoltEscrow.sol";
import {DealWord, Deals} from "../../contracts/libraries/Deals.sol";
import {Money} from "../../contracts/libraries/Money.sol";

import {Proof} from "./Proof.sol";

/// @title Rounding: all amounts are floors, and more delivery never brings less
contract Amounts is Proof {
    function setUp() public override {}

    // ---------------------------------------------------------------- products and quotients of any numbers
    //
    // Products and quotients of two variables are hard for solvers. What the proofs further down need to know of them is
    // proven here first, and taken for granted there.

    function check_fact_products(uint128 factor, uint128 less, uint128 more) public pure {
        vm.assume(less <= more);
        assert(productsOf(factor, less, more));
    }

    function check_fact_quotients(uint240 less, uint240 more, uint128 divisor) public pure {
        vm.assume(less <= more && divisor != 0);
        assert(quotientsOf(less, more, divisor));
    }

    function check_fact_quotientOfProduct(uint120 factor, uint120 divisor) public pure {
        vm.assume(divisor != 0);
        assert(quotientOfProduct(factor, divisor));
    }

    function check_fact_productsInAnyOrder(uint96 price, uint32 gpus, uint16 hours_) public pure {
        assert(isInAnyOrder(price, gpus, hours_));
    }

    function check_fact_narrowProducts(uint32 gpus, uint40 time) public pure {
        assert(isNarrow(gpus, time));
    }

    function isNarrow(uint256 gpus, uint256 time) internal pure returns (bool) {
        unchecked {
            bool none = either(gpus == 0, time == 0);
            return both(gpus * time < 2 ** 72, either(none, gpus * time != 0));
        }
    }

    /// @dev A product grows with its factor, by the product of the difference.
    function productsOf(uint256 factor, uint256 less, uint256 more) internal pure returns (bool) {
        unchecked {
            uint256 product = less * factor;
            uint256 difference = (more - less) * factor;
            return both(more * factor >= product, more * factor - product == difference);
        }
    }

    function quotientsOf(uint256 less, uint256 more, uint256 divisor) internal pure returns (bool) {
        return less / divisor <= more / divisor;
    }

    function quotientOfProduct(uint256 factor, uint256 divisor) internal pure returns (bool) {
        unchecked {
            return factor * divisor / divisor == factor;
        }
    }

    /// @dev Whether the price is multiplied by hours or by seconds.
    function isInAnyOrder(uint256 price, uint256 gpus, uint256 hours_) internal pure returns (bool) {
        unchecked {
            return gpus * (hours_ * Money.SECONDS_PER_HOUR) * price == price * gpus * hours_ * Money.SECONDS_PER_HOUR;
        }
    }

    // ---------------------------------------------------------------- the price

    function check_due_isTheFloor(uint96 price, uint40 units) public pure {
        uint256 due = Money.due(priced(price), units);
        uint256 exact = uint256(units) * price; // in 3600ths
        assert(due * 3_600 <= exact && exact < due * 3_600 + 3_600);
    }

    function fails_due_isExact(uint96 price, uint40 units) public pure {
        assert(Money.due(priced(price), units) * 3_600 == uint256(units) * price);
    }

    function check_due_isMonotone(uint96 price, uint40 less, uint40 more) public pure {
        vm.assume(less <= more);
        assert(Money.due(priced(price), less) <= Money.due(priced(price), more));
    }

    function fails_due_isStrictlyMonotone(uint96 price, uint40 less, uint40 more) public pure {
        vm.assume(less < more && price != 0);
        assert(Money.due(priced(price), less) < Money.due(priced(price), more));
    }

    /// @dev The opening counts hours, and all that comes after counts seconds: of as many GPUs they cost the same.
    function check_due_isThatOfTheHours(uint96 price, uint32 gpus, uint16 hours_) public pure {
        unchecked {
            uint256 exact = uint256(price) * gpus * hours_;
            vm.assume(exact <= type(uint96).max); // as the buyer's budget
            vm.assume(isInAnyOrder(price, gpus, hours_)); // check_fact_productsInAnyOrder
            vm.assume(quotientOfProduct(exact, Money.SECONDS_PER_HOUR)); // check_fact_quotientOfProduct
            assert(Money.due(priced(price), gpus * (hours_ * Money.SECONDS_PER_HOUR)) == exact);
        }
    }

    function fails_due_isThatOfTheHours(uint96 price, uint32 gpus, uint32 seconds_) public pure {
        unchecked {
            uint256 units = uint256(gpus) * seconds_;
            assert(Money.due(priced(price), units) == uint256(price) * gpus * (seconds_ / Money.SECONDS_PER_HOUR));
        }
    }

    /// @dev The terms have as many seconds as the order has hours.
    function check_duration_isThatOfTheHours(uint16 hours_) public pure {
        assert(uint32(hours_ * Money.SECONDS_PER_HOUR) == uint256(hours_) * 3_600);
    }

    function check_part_isTheFloor(uint128 amount, uint16 bps) public pure {
        assert(isPart(Money.part(amount, bps), amount, bps));
    }

    /// @dev A part grows with its whole, and by no more than it: what is left after the fee grows too.
    function check_part_isMonotone(uint128 less, uint128 more, uint16 bps) public pure {
        vm.assume(less <= more && bps <= 10_000);
        vm.assume(both(productsOf(bps, less, more), productsOf(more - less, bps, 10_000))); // check_fact_products
        vm.assume(both(isPart(Money.part(less, bps), less, bps), isPart(Money.part(more, bps), more, bps)));
        uint256 partOfLess = Money.part(less, bps);
        uint256 partOfMore = Money.part(more, bps);
        assert(both(partOfLess <= partOfMore, partOfMore - partOfLess <= more - less));
    }

    function fails_part_isMonotoneBeyondTheWhole(uint128 less, uint128 more, uint16 bps) public pure {
        vm.assume(less <= more);
        assert(Money.part(more, bps) - Money.part(less, bps) <= more - less);
    }

    // ---------------------------------------------------------------- the bond

    function check_earned_isWithinTheBond(uint256 word, uint32 gpus, uint96 bond, uint40 units) public pure {
        DealWord deal = running(word);
        uint256 all = deliverable(gpus, deal);
        vm.assume(isNarrow(gpus, deal.endsAt() - deal.openedAt()));
        vm.assume(isNarrow(gpus, noticeMinutes(deal)));
        factsOf(bond, units, all, all);
        uint256 earned = Money.earned(sized(gpus), deal, bond, units);
        assert(both(earned <= bond, either(units != 0, earned == 0)));
    }

    function check_earned_isTheBondInTheEnd(uint256 word, uint32 gpus, uint96 bond, uint40 units) public pure {
        DealWord deal = running(word);
        vm.assume(isNarrow(gpus, deal.endsAt() - deal.openedAt()));
        vm.assume(isNarrow(gpus, noticeMinutes(deal)));
        vm.assume(units >= deliverable(gpus, deal));
        assert(Money.earned(sized(gpus), deal, bond, units) == bond);
    }

    function check_earned_isMonotone(uint256 word, uint32 gpus, uint96 bond, uint40 less, uint40 more) public pure {
        DealWord deal = running(word);
        vm.assume(less <= more);
        uint256 all = deliverable(gpus, deal);
        vm.assume(isNarrow(gpus, deal.endsAt() - deal.openedAt()));
        vm.assume(isNarrow(gpus, noticeMinutes(deal)));
        factsOf(bond, less, more, all);
        factsOf(bond, less, all, all);
        Terms memory terms = sized(gpus);
        assert(Money.earned(terms, deal, bond, less) <= Money.earned(terms, deal, bond, more));
    }

    function fails_earned_isStrictlyMonotone(uint256 word, uint32 gpus, uint96 bond, uint40 less, uint40 more)
        public
        pure
    {
        DealWord deal = running(word);
        vm.assume(less < more);
        Terms memory terms = sized(gpus);
        assert(Money.earned(terms, deal, bond, less) < Money.earned(terms, deal, bond, more));
    }

    // ---------------------------------------------------------------- payments

    /// @dev What two payments bring together is what one brings: splitting a payment changes nothing.
    function check_owed_doesNotDependOnTheSteps(uint96 price, DealWord deal, uint40 between, uint40 units) public pure {
        (uint256 first, uint256 firstFee) = Money.owed(priced(price), deal, between);
        (uint256 second, uint256 secondFee) = Money.owed(priced(price), deal.withPaid(between), units);
        (uint256 net, uint256 fee) = Money.owed(priced(price), deal, units);
        assert(first + second == net && firstFee + secondFee == fee);
    }

    /// @dev As if nothing had been paid in between.
    function fails_owed_doesNotDependOnTheSteps(DealWord deal, uint40 between, uint40 units) public pure {
        vm.assume(deal.feeBps() == 0);
        (uint256 first,) = Money.owed(priced(3_600), deal, between);
        (uint256 second,) = Money.owed(priced(3_600), deal, units);
        assert(first + second == second);
    }

    /// @dev Where what the two lemmas above prove is so, there is no difference below 0: wherever more is paid than before.
    function check_owed_isNeverRefused(uint96 price, DealWord deal, uint40 units) public view {
        uint256 before = Money.due(priced(price), deal.paid());
        uint256 now_ = Money.due(priced(price), units);
        uint256 feeBefore = Money.part(before, deal.feeBps());
        uint256 feeNow = Money.part(now_, deal.feeBps());
        vm.assume(before <= now_); // check_due_isMonotone
        vm.assume(feeBefore <= feeNow); // check_part_isMonotone
        vm.assume(feeNow - feeBefore <= now_ - before);
        try this.owed(price, deal, units) {}
        catch {
            assert(false);
        }
    }

    /// @dev Below what is paid it is refused.
    function fails_owed_isNeverRefused(DealWord deal, uint40 units) public view {
        try this.owed(3_600, deal, units) {}
        catch {
            assert(false);
        }
    }

    // ---------------------------------------------------------------- parts

    function isPart(uint256 part, uint256 amount, uint256 bps) internal pure returns (bool) {
        unchecked {
            uint256 exact = amount * bps; // in 10,000ths
            bool isFloor = both(part * 10_000 <= exact, exact < part * 10_000 + 10_000);
            return both(isFloor, either(bps > 10_000, part <= amount));
        }
    }

    function owed(uint96 price, DealWord deal, uint256 units) external pure {
        Money.owed(priced(price), deal, units);
    }

    function priced(uint96 price) internal pure returns (Terms memory terms) {
        terms.pricePerGpuHour = price;
    }

    function sized(uint32 gpus) internal pure returns (Terms memory terms) {
        vm.assume(gpus != 0);
        terms.gpuCount = gpus;
    }

    /// @dev A deal that ends after it began; GPU-seconds stay below 2^40, as `open` sees to.
    function running(uint256 word) internal pure returns (DealWord deal) {
        deal = DealWord.wrap(word);
        vm.assume(deal.openedAt() < deal.endsAt());
    }

    /// @dev The facts above of `bond * units / all`, for units up to `more`.
    function factsOf(uint256 bond, uint256 less, uint256 more, uint256 all) internal pure {
        if (less > more) return;
        vm.assume(productsOf(bond, less, more));
        vm.assume(quotientsOf(bond * less, bond * more, all));
        vm.assume(quotientOfProduct(bond, all));
    }

    function noticeMinutes(DealWord deal) internal pure returns (uint256) {
        return DealWord.unwrap(deal) >> 248;
    }

    function deliverable(uint256 gpus, DealWord deal) internal pure returns (uint256) {
        return gpus * (deal.endsAt() - deal.openedAt());
    }
}
