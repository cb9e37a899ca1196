// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {
    Account as Funds,
    Code,
    Deal,
    IMoltEscrow,
    Match,
    Side,
    Status
} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Model, ModelDeal} from "../support/Model.sol";
import {Call, Purse, Resting, Tally} from "./Ghost.sol";
import {Refusals} from "./Refusals.sol";
import {Step} from "./Steps.sol";

/// @title What holds after every call
/// @dev I01 to I30 are DESIGN 4.3 in its order, I31 to I40 what ESCROW 9 adds. `check` runs them all after each call,
/// over every account, every live deal, and some of the closed ones: the last, and a few in turn; `finish` over all.
///
/// Not here, because no state shows them:
///   I15 (a replay changes nothing), I23 (dirty bits, other terms), I25 (an attestor counts once): the calls of Refusals,
///     and verbs/Views.t.sol, verbs/Claim.t.sol
///   I22 (vouchers in any order): its figures are I11 and I06 here; verbs/Release.t.sol compares the orders
///   I24 (no call but to the token): verbs/ExternalCalls.t.sol
///   I27 (a Python model), I28 (from the log alone): tests/contracts
///   I29, I30 (gas): benchmarks/gas.py
///   I33 (the id depends on offer and order only): verbs/Open.t.sol
///   I38 (pay-offs of dishonest exits): tests/contracts/test_payoffs.py
abstract contract Invariants is Refusals {
    using Model for ModelDeal;

    uint256 private constant CLOSED_IN_TURN = 3;

    /// @dev A deal as the contract shows it, beside the books.
    struct Look {
        uint256 index;
        ModelDeal d;
        Deal shown;
        Tally t;
    }

    function check() external {
        invariant_I01_tokensCoverLiabilities(true);
        for (uint256 j = 0; j < live.length; j++) {
            checkDeal(lookAt(live[j]));
        }
        for (uint256 j = 0; j < CLOSED_IN_TURN && deals.length != 0; j++) {
            uint256 i = j == 0 ? deals.length - 1 : (action * CLOSED_IN_TURN + j) % deals.length;
            checkDeal(lookAt(i));
        }
        invariant_I07_I08_balancesFallByTheirOwnersWordOnly();
        invariant_I09_I35_gpusInUseAreThoseOfLockedDeals();
        invariant_I10_restingMatchesOpenUntilATrickTakesEffect();
        invariant_I16_batchesRefuseWhatTheyShould();
        invariant_I17_rolesGainNothingButFees();
        invariant_I18_aPauseBlocksNoExit();
        invariant_I19_configurationIsAsAnnounced();
        invariant_I20_everyAccountIsAsItsOwnDealsLeftIt();
        invariant_I36_finalizePlusTimeEndsADeal();
        invariant_I37_cancelledMatchesStayDead();
        invariant_I40_aThiefGainsNothingFromHimself();
    }

    /// @dev All deals, when the campaign is over.
    function checkAllDeals() internal view {
        for (uint256 i = 0; i < deals.length; i++) {
            checkDeal(lookAt(i));
        }
    }

    function lookAt(uint256 i) private view returns (Look memory) {
        return Look(i, deals[i], escrow.dealOf(ids[i]), tallies[i]);
    }

    function checkDeal(Look memory k) private view {
        invariant_I02_whatADealTookItHoldsOrPaid(k);
        invariant_I03_I34_aClosedDealHoldsNothingAndRests(k);
        invariant_I04_onlyListedTransitionsAndNoIdTwice(k);
        invariant_I05_paidRisesWithinClaimAndAllocation(k);
        invariant_I06_providerGetsNoMoreThanIsAuthorised(k);
        invariant_I11_feeIsThePartOfWhatIsPaid(k);
        invariant_I12_aRulingLiesWithinCounterAndClaim(k);
        invariant_I13_withoutAWordNothingOfThePrice(k);
        invariant_I14_theEndIsBoundFromOpening(k);
        invariant_I19_configurationAltersNoOpenDeal(k);
        invariant_I21_bondAndStakesGoByDeliveredSeconds(k);
        invariant_I31_anOrderOpensOneDeal(k);
        invariant_I39_withoutAttestorsNoClaimStandsBySilence(k);
    }

    // ---------------------------------------------------------------- money

    /// @param settled false while the token moves: then it may hold more, for a moment.
    function invariant_I01_tokensCoverLiabilities(bool settled) internal view {
        uint256 owed = 0;
        for (uint256 j = 0; j < accounts.length; j++) {
            owed += balanceOf(accounts[j]);
        }
        for (uint256 j = 0; j < live.length; j++) {
            owed += heldBy(deals[live[j]], escrow.dealOf(ids[live[j]]));
        }
        uint256 tokens = token.balanceOf(address(escrow));
        if (settled) assertEq(tokens, owed, "I01");
        else assertGe(tokens, owed, "I01 in a callback");
    }

    /// @dev What the deal holds by the word that the contract shows, not by the sums of what went in and out.
    function heldBy(ModelDeal memory d, Deal memory shown) internal pure returns (uint256) {
        if (shown.status == Status.NONE || isClosed(shown.status)) return 0;
        ModelDeal memory w = d;
        (w.endsAt, w.openedAt, w.paid, w.claim) = (shown.endsAt, shown.openedAt, shown.paid, shown.claim);
        if (shown.status != Status.DISPUTED) return w.price() - w.due(w.paid) + w.bond();
        uint256 stake = w.bondOf(w.claim) - w.bondOf(w.paid);
        bool isAttested = shown.flags & 2 != 0;
        return w.due(w.claim) - w.due(w.paid) + (isAttested ? 2 * stake : stake);
    }

    function invariant_I02_whatADealTookItHoldsOrPaid(Look memory k) internal pure {
        uint256 in_ = k.t.locked + k.t.stake;
        uint256 out = k.t.earned + k.t.fee + k.t.back + k.t.arbiter + k.t.buyer;
        assertEq(in_, out + heldBy(k.d, k.shown), "I02");
    }

    function invariant_I03_I34_aClosedDealHoldsNothingAndRests(Look memory k) internal pure {
        if (!isClosed(k.shown.status)) return;
        assertEq(k.t.locked + k.t.stake, k.t.earned + k.t.fee + k.t.back + k.t.arbiter + k.t.buyer, "I34");
        assertEq(k.d.held, 0, "I34 on paper");
        assertEq(keccak256(abi.encode(k.shown)), keccak256(abi.encode(k.d.shown())), "I03");
    }

    /// @dev A balance is what came in less what its owner himself spent or withdrew: `spend` asks for his word.
    function invariant_I07_I08_balancesFallByTheirOwnersWordOnly() internal view {
        for (uint256 j = 0; j < 3; j++) {
            assertEq(balanceOf(buyers[j]), due(buyers[j]), "I07");
            assertEq(balanceOf(providers[j]), due(providers[j]), "I08");
        }
    }

    function invariant_I20_everyAccountIsAsItsOwnDealsLeftIt() internal view {
        for (uint256 j = 0; j < accounts.length; j++) {
            Purse memory p = purse[accounts[j]];
            Funds memory a = escrow.accountOf(accounts[j]);
            assertEq(a.balance, due(accounts[j]), "I20: balance");
            assertEq(a.withdrawing, p.withdrawing, "I20: withdrawing");
            assertEq(a.unlockAt, p.unlockAt, "I20: unlockAt");
            assertEq(a.nonce, p.nonce, "I20: nonce");
        }
    }

    function invariant_I17_rolesGainNothingButFees() internal view {
        // anyone may give them something; the escrow does not
        address[5] memory roles = [guardian, feeSetter, holders[0], holders[1], holders[2]];
        for (uint256 j = 0; j < 5; j++) {
            Purse memory own = purse[roles[j]];
            assertEq(balanceOf(roles[j]), own.deposited - own.withdrawn, "I17");
        }
        Purse memory p = purse[feeRecipient];
        assertEq(balanceOf(feeRecipient), totalFees + p.deposited - p.withdrawn, "I17: fees");
    }

    /// @dev What the thief has in the escrow, in deals with himself and as tokens never exceeds what he brought.
    function invariant_I40_aThiefGainsNothingFromHimself() internal view {
        uint256 has = balanceOf(thief) + balanceOf(accomplice);
        has += token.balanceOf(thief) + token.balanceOf(accomplice);
        for (uint256 j = 0; j < live.length; j++) {
            if (deals[live[j]].terms.buyer == thief) has += deals[live[j]].held;
        }
        assertLe(has, purse[thief].deposited + purse[accomplice].deposited, "I40: thief");
    }

    // ---------------------------------------------------------------- a deal's course

    function invariant_I04_onlyListedTransitionsAndNoIdTwice(Look memory k) internal view {
        assertEq(opens[ids[k.index]], 1, "I04: id");
        assertEq(uint256(k.shown.status), uint256(k.d.status), "I04: status");
        Status from = k.t.statusBefore;
        Status to = k.shown.status;
        if (from == Status.NONE) assertTrue(to == Status.LOCKED, "I04: from NONE");
        if (from == Status.LOCKED) assertTrue(to != Status.NONE, "I04: from LOCKED");
        if (from == Status.CLAIMED) assertTrue(to != Status.NONE && to != Status.LOCKED, "I04: from CLAIMED");
        if (from == Status.DISPUTED) assertTrue(isClosed(to), "I04: from DISPUTED");
        assertFalse(isClosed(from), "I04: from a closed deal");
    }

    function invariant_I05_paidRisesWithinClaimAndAllocation(Look memory k) internal pure {
        assertGe(k.shown.paid, k.t.paidBefore, "I05: fell");
        assertLe(k.shown.paid, k.d.allocation(), "I05: allocation");
        if (k.shown.status == Status.CLAIMED || k.shown.status == Status.DISPUTED) {
            assertLe(k.shown.paid, k.shown.claim, "I05: claim");
        }
        assertEq(k.shown.paid, k.d.paid, "I05: paid");
    }

    function invariant_I06_providerGetsNoMoreThanIsAuthorised(Look memory k) internal pure {
        assertLe(k.t.earned + k.t.fee, k.d.due(k.t.authorised), "I06");
    }

    /// @dev However releases split it, the fee is that of the sum; a refund bears none.
    function invariant_I11_feeIsThePartOfWhatIsPaid(Look memory k) internal pure {
        assertLe(k.shown.feeBps, 300, "I11: cap");
        assertEq(k.t.fee, (k.d.due(k.shown.paid) * k.shown.feeBps) / 10_000, "I11: fee");
        assertEq(k.t.earned, k.d.due(k.shown.paid) - k.t.fee, "I11, I22: earned");
        if (k.shown.status == Status.REFUNDED) assertEq(k.t.fee, 0, "I11: refund");
    }

    function invariant_I12_aRulingLiesWithinCounterAndClaim(Look memory k) internal pure {
        if (!k.t.ruled) return;
        assertGe(k.t.ruling, k.t.counter, "I12: counter");
        assertLe(k.t.ruling, k.shown.claim, "I12: claim");
        assertEq(k.shown.paid, k.t.ruling, "I12: paid");
    }

    function invariant_I13_withoutAWordNothingOfThePrice(Look memory k) internal pure {
        if (k.t.authorised == 0) assertEq(k.t.earned, 0, "I13");
    }

    function invariant_I14_theEndIsBoundFromOpening(Look memory k) internal pure {
        uint256 windows = uint256(k.d.policy.grace) + k.d.policy.challenge + k.d.policy.arbitration;
        assertLe(k.shown.deadline, k.shown.openedAt + k.d.terms.duration + windows, "I14");
    }

    function invariant_I19_configurationAltersNoOpenDeal(Look memory k) internal pure {
        assertEq(k.shown.feeBps, k.d.feeBps, "I19: fee");
        assertEq(k.shown.bondBps, k.d.policy.bondBps, "I19: bond");
        assertEq(k.shown.noticeMinutes, k.d.policy.noticeMinutes, "I19: notice");
        assertEq(keccak256(abi.encode(k.shown)), keccak256(abi.encode(k.d.shown())), "I19: word");
    }

    /// @dev Only the signed share of a ruling leaves the two parties, and nothing of bond and stakes is a fee.
    function invariant_I21_bondAndStakesGoByDeliveredSeconds(Look memory k) internal pure {
        if (!isClosed(k.shown.status)) return;
        uint256 price = k.d.price();
        uint256 unpaid = price - k.t.earned - k.t.fee; // goes back to the buyer
        assertEq(k.t.back + k.t.arbiter + (k.t.buyer - unpaid), k.t.locked - price + k.t.stake, "I21");
        if (!k.t.ruled) assertEq(k.t.arbiter, 0, "I21: share without a ruling");
        else assertLe(k.t.arbiter, (2 * k.d.bond() * k.d.policy.arbiterShareBps) / 10_000, "I21: share");
    }

    function invariant_I31_anOrderOpensOneDeal(Look memory k) internal view {
        assertEq(opensOfOrder[k.d.terms.orderHash], 1, "I31");
    }

    function invariant_I39_withoutAttestorsNoClaimStandsBySilence(Look memory k) internal pure {
        if (k.d.policy.threshold != 0) return;
        assertEq(k.shown.flags & 2, 0, "I39: attested");
        assertTrue(k.shown.status != Status.CLAIMED, "I39: claimed");
    }

    // ---------------------------------------------------------------- before and beside deals

    function invariant_I09_I35_gpusInUseAreThoseOfLockedDeals() internal view {
        uint64 slot = uint64(action % 8);
        for (uint256 p = 0; p < providers.length + 1; p++) {
            address who = p == providers.length ? accomplice : providers[p];
            uint256 locked = 0;
            for (uint256 j = 0; j < live.length; j++) {
                ModelDeal storage d = deals[live[j]];
                if (d.terms.provider != who || d.terms.slot != slot) continue;
                if (escrow.dealOf(ids[live[j]]).status == Status.LOCKED) locked += d.terms.gpuCount;
            }
            assertEq(escrow.gpusInUse(who, slot), locked, "I09, I35");
        }
    }

    /// @dev The books know when a cancel, a revocation or a withdrawal takes effect: `check` says the same.
    function invariant_I10_restingMatchesOpenUntilATrickTakesEffect() internal view {
        for (uint256 j = 0; j < resting.length; j++) {
            Match memory m = abi.decode(resting[j].encoded, (Match));
            (Code code,,) = escrow.check(m, resting[j].caller);
            assertEq(code == Code.NONE, isOpenable(resting[j], m), "I10");
        }
    }

    function invariant_I16_batchesRefuseWhatTheyShould() internal view {
        assertEq(refusalsSeen, itemsRefused, "I16");
    }

    /// @dev One deal in turn: whatever is due can be closed while openings are paused.
    function invariant_I18_aPauseBlocksNoExit() internal {
        if (!paused() || live.length == 0) return;
        ModelDeal memory d = deals[live[action % live.length]];
        if (!isDue(d)) return;
        Call memory c = Call(stranger, abi.encodeCall(IMoltEscrow.finalize, (d.terms)));
        assertGe(balanceIf(c, 0, d.terms.buyer), balanceOf(d.terms.buyer), "I18");
    }

    function invariant_I19_configurationIsAsAnnounced() internal view {
        assertEq(escrow.feeBps(), feeNow(), "I19: fee now");
        assertEq(escrow.config().pausedUntil, pausedUntil, "I19: pause");
    }

    /// @dev One deal in turn: let its deadline come, and anyone closes it.
    function invariant_I36_finalizePlusTimeEndsADeal() internal {
        if (live.length == 0) return;
        ModelDeal memory d = deals[live[action % live.length]];
        Call memory c = Call(stranger, abi.encodeCall(IMoltEscrow.finalize, (d.terms)));
        assertGe(balanceIf(c, d.deadline, d.terms.buyer), balanceOf(d.terms.buyer), "I36");
    }

    function invariant_I37_cancelledMatchesStayDead() internal view {
        for (uint256 j = 0; j < buried.length; j++) {
            Match memory m = abi.decode(buried[j].encoded, (Match));
            (Code code,,) = escrow.check(m, buried[j].caller);
            assertTrue(code != Code.NONE, "I37");
        }
    }

    /// @dev I26: the token calls back in the middle of a deposit or a withdrawal; I01 to I05 hold there too. While a
    /// batch runs the books are ahead of the contract, so it is left alone.
    function tokenCallsBack() external {
        if (batching) return;
        count(Step.TOKEN_CALLBACK);
        invariant_I01_tokensCoverLiabilities(false);
        for (uint256 j = 0; j < live.length; j++) {
            Look memory k = lookAt(live[j]);
            invariant_I02_whatADealTookItHoldsOrPaid(k);
            invariant_I03_I34_aClosedDealHoldsNothingAndRests(k);
            invariant_I04_onlyListedTransitionsAndNoIdTwice(k);
            invariant_I05_paidRisesWithinClaimAndAllocation(k);
        }
    }
}
