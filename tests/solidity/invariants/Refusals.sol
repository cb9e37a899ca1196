// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Code, IMoltEscrow, Match, Role, Side, Status} from "../../../contracts/interfaces/IMoltEscrow.sol";
import {Digests} from "../support/Digests.sol";
import {Model, ModelDeal} from "../support/Model.sol";
import {Call} from "./Ghost.sol";
import {Plans} from "./Plans.sol";
import {Step} from "./Steps.sol";

/// @title Calls that have to be refused, and why
/// @dev What a thief sends who has the agent's key and one attestor's, knows every signature that was ever shown, and
/// has keys of his own. Each comes with the exact refusal that the books foresee.
abstract contract Refusals is Plans {
    using Model for ModelDeal;

    struct Bad {
        Call call;
        Code code;
        uint256 actual;
        uint256 limit;
    }

    uint256 internal constant KINDS = 10;

    /// @dev A bad call of that kind; if there is no deal for it, one for another account's balance. The relayer sends it,
    /// alone or in a batch.
    function planBad(uint256 kind) internal returns (Bad memory) {
        if (kind == 0) return tooEarly();
        if (kind == 1) return onClosedDeal();
        if (kind == 2) return oldVoucher();
        if (kind == 3) return forgedVoucher();
        if (kind == 4) return withAgentsKey();
        if (kind == 5) return forgedAttestors();
        if (kind == 6) return doubledAttestor();
        if (kind == 7) return changedTerms();
        if (kind == 8) return notTheSender();
        return othersBalance();
    }

    function bad(Call memory c, Code code, uint256 actual, uint256 limit) private pure returns (Bad memory) {
        return Bad(c, code, actual, limit);
    }

    function badSignature(Call memory c, address found, address signer) private pure returns (Bad memory) {
        return Bad(c, Code.BAD_SIGNATURE, uint160(found), uint160(signer));
    }

    function wrongStatus(Call memory c, Status is_, Status needed) private pure returns (Bad memory) {
        return Bad(c, Code.WRONG_STATUS, uint256(is_), uint256(needed));
    }

    function isEarly(ModelDeal memory d) private view returns (bool) {
        return !isDue(d);
    }

    function isPaidPartly(ModelDeal memory d) private pure returns (bool) {
        return isUndisputed(d) && d.paid != 0;
    }

    function exists(uint256 i) internal view returns (bool) {
        return i != deals.length;
    }

    // ---------------------------------------------------------------- too early, too late, again

    function tooEarly() private returns (Bad memory) {
        uint256 i = find(isEarly);
        if (!exists(i)) return othersBalance();
        count(Step.THIEF_CAME_TOO_EARLY);
        Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.finalize, (deals[i].terms)));
        return bad(c, Code.TOO_EARLY, present(), deals[i].deadline);
    }

    /// @dev Whatever it was that worked once: a closed deal takes nothing any more.
    function onClosedDeal() private returns (Bad memory) {
        uint256 i = deals.length == 0 ? 0 : roll(deals.length);
        if (deals.length == 0 || !isClosed(deals[i].status)) return othersBalance();
        count(Step.THIEF_CAME_TO_A_CLOSED_DEAL);
        ModelDeal memory d = deals[i];
        uint256 verb = roll(5);
        if (verb == 0) {
            bytes memory sig = sign(voucherSigner, digest(Digests.voucher(ids[i], type(uint40).max)));
            Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.release, (d.terms, type(uint40).max, sig)));
            return wrongStatus(c, d.status, Status.LOCKED);
        }
        if (verb == 1) {
            Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.finalize, (d.terms)));
            return wrongStatus(c, d.status, Status.LOCKED);
        }
        if (verb == 2) {
            Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.cancelDeal, (d.terms, 0, "")));
            return wrongStatus(c, d.status, Status.LOCKED);
        }
        if (verb == 3) {
            Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.resolve, (d.terms, 0, 0, "")));
            return wrongStatus(c, d.status, Status.DISPUTED);
        }
        Call memory last = Call(relayer, abi.encodeCall(IMoltEscrow.settle, (d.terms, 0, 0, "", "")));
        return wrongStatus(last, d.status, Status.LOCKED);
    }

    /// @dev I15: a voucher that was redeemed, or a smaller one, is worth nothing more.
    function oldVoucher() private returns (Bad memory) {
        uint256 i = find(isPaidPartly);
        if (!exists(i)) return othersBalance();
        count(Step.THIEF_REPLAYED);
        uint256 units = rollWithin(0, deals[i].paid);
        bytes memory sig = sign(voucherSigner, digest(Digests.voucher(ids[i], units)));
        Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.release, (deals[i].terms, uint40(units), sig)));
        return bad(c, Code.NOT_ABOVE_PAID, units, deals[i].paid);
    }

    // ---------------------------------------------------------------- forged

    function forgedVoucher() private returns (Bad memory) {
        uint256 i = find(isReleasable);
        if (!exists(i)) return othersBalance();
        count(Step.THIEF_FORGED_A_VOUCHER);
        ModelDeal memory d = deals[i];
        address[4] memory keys = [thief, d.terms.agent, buyers[0], attestors[0]];
        address key = keys[roll(4)];
        bytes memory sig = signCompact(key, digest(Digests.voucher(ids[i], type(uint40).max)));
        Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.release, (d.terms, type(uint40).max, sig)));
        return badSignature(c, key, voucherSigner);
    }

    /// @dev I40: the agent's key, which lies near strangers' jobs, stands for the provider nowhere.
    function withAgentsKey() private returns (Bad memory) {
        uint256 i = find(isLocked);
        if (!exists(i)) return othersBalance();
        count(Step.THIEF_USED_THE_AGENTS_KEY);
        ModelDeal memory d = deals[i];
        uint40 until = uint40(present() + 1);
        Call memory c;
        c.caller = relayer;
        if (roll(2) == 0) {
            bytes memory sig = sign(d.terms.agent, digest(Digests.cancelDeal(ids[i], until)));
            c.data = abi.encodeCall(IMoltEscrow.cancelDeal, (d.terms, until, sig));
            return badSignature(c, d.terms.agent, d.terms.provider);
        }
        bytes32 split = digest(Digests.split(ids[i], d.paid, until));
        if (mute[d.terms.buyer]) return othersBalance();
        bytes memory buyerSig = sign(d.terms.buyer, split);
        bytes memory agentSig = sign(d.terms.agent, split);
        c.data = abi.encodeCall(IMoltEscrow.settle, (d.terms, uint40(d.paid), until, buyerSig, agentSig));
        return badSignature(c, d.terms.agent, d.terms.provider);
    }

    /// @dev The agent's key and attestors of the thief's own: the set is the policy's.
    function forgedAttestors() private returns (Bad memory) {
        uint256 i = find(isAttestableNow);
        if (!exists(i)) return othersBalance();
        count(Step.THIEF_FORGED_ATTESTORS);
        (Bad memory b, bytes32 receipt, bytes memory sig) = stolenClaim(i);
        ModelDeal memory d = deals[i];
        bytes memory sigs;
        if (roll(2) == 0) {
            address[] memory own = new address[](1);
            own[0] = stranger;
            sigs = signCompact(stranger, receipt);
            b.code = Code.ATTESTOR_SET;
            b.actual = uint256(keccak256(abi.encode(own)));
            b.limit = uint256(d.policy.attestorsHash);
            b.call.data = claimCall(d, sig, own, sigs);
            return b;
        }
        for (uint256 j = 0; j < d.policy.threshold; j++) {
            sigs = bytes.concat(sigs, signCompact(stranger, receipt));
        }
        (b.code, b.actual, b.limit) = (Code.ATTESTOR_UNKNOWN, uint160(stranger), 0);
        b.call.data = claimCall(d, sig, attestors, sigs);
        return b;
    }

    function needsSeveral(ModelDeal memory d) internal view returns (bool) {
        return d.policy.threshold > 1 && isAttestableNow(d);
    }

    /// @dev I25: one attestor's key, as often as the threshold asks for.
    function doubledAttestor() private returns (Bad memory) {
        uint256 i = find(needsSeveral);
        if (!exists(i)) return othersBalance();
        (Bad memory b, bytes32 receipt, bytes memory sig) = stolenClaim(i);
        ModelDeal memory d = deals[i];
        count(Step.THIEF_DOUBLED_AN_ATTESTOR);
        address one = attestors[roll(attestors.length)];
        bytes memory sigs;
        for (uint256 j = 0; j < d.policy.threshold; j++) {
            sigs = bytes.concat(sigs, signCompact(one, receipt));
        }
        (b.code, b.actual, b.limit) = (Code.ATTESTOR_ORDER, uint160(one), uint160(one));
        b.call.data = claimCall(d, sig, attestors, sigs);
        return b;
    }

    /// @dev A receipt over the next unpaid GPU-second, signed with the agent's leaked key.
    function stolenClaim(uint256 i) private view returns (Bad memory b, bytes32 receipt, bytes memory sig) {
        ModelDeal memory d = deals[i];
        receipt = digest(Digests.receipt(ids[i], d.paid + 1, "stolen", "usage"));
        sig = sign(d.terms.agent, receipt);
        b.call.caller = relayer;
    }

    function claimCall(ModelDeal memory d, bytes memory sig, address[] memory set, bytes memory sigs)
        private
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IMoltEscrow.claim, (d.terms, uint40(d.paid + 1), "stolen", "usage", sig, set, sigs));
    }

    /// @dev I23: terms that pay more, or another one, are of no deal.
    function changedTerms() private returns (Bad memory) {
        uint256 i = find(isAny);
        if (!exists(i)) return othersBalance();
        count(Step.THIEF_CHANGED_THE_TERMS);
        ModelDeal memory d = deals[i];
        uint256 member = roll(4);
        if (member == 0) d.terms.provider = stranger;
        if (member == 1) d.terms.buyer = stranger;
        if (member == 2) d.terms.pricePerGpuHour++;
        if (member == 3) d.terms.gpuCount++;
        Call memory c = Call(relayer, abi.encodeCall(IMoltEscrow.finalize, (d.terms)));
        return wrongStatus(c, Status.NONE, Status.LOCKED);
    }

    // ---------------------------------------------------------------- not his to say

    function notTheSender() private returns (Bad memory) {
        uint256 i = find(isAny);
        if (!exists(i)) return othersBalance();
        count(Step.THIEF_WAS_NOT_THE_SENDER);
        ModelDeal memory d = deals[i];
        Call memory c;
        c.caller = relayer;
        // later than whoever agrees ever says: in the same batch he may approve this very request
        uint40 until = uint40(present() + 2 days);
        if (isDisputed(d) && present() < d.deadline) {
            c.data = abi.encodeCall(IMoltEscrow.resolve, (d.terms, uint40(d.claim), until, ""));
            return badSignature(c, relayer, d.policy.arbiter);
        }
        if (isDisputableNow(d)) {
            c.data = abi.encodeCall(IMoltEscrow.dispute, (d.terms, uint40(d.paid), 0, until, ""));
            return badSignature(c, relayer, d.terms.buyer);
        }
        if (isStoppableNow(d)) {
            c.data = abi.encodeCall(IMoltEscrow.stop, (d.terms, until, ""));
            return badSignature(c, relayer, d.terms.buyer);
        }
        c.data = abi.encodeCall(IMoltEscrow.settle, (d.terms, uint40(d.paid), until, "", ""));
        return badSignature(c, relayer, d.terms.buyer);
    }

    function othersBalance() private returns (Bad memory) {
        count(Step.THIEF_WANTED_A_BALANCE);
        address who = someone(accounts);
        if (who == relayer || who == thief) who = feeRecipient;
        uint40 until = uint40(present() + 1);
        Call memory c;
        c.caller = relayer;
        if (roll(2) == 0) {
            bytes32 request = digest(Digests.requestWithdraw(who, 1, purse[who].nonce, until));
            c.data = abi.encodeCall(IMoltEscrow.requestWithdraw, (who, 1, until, sign(thief, request)));
        } else {
            bytes32 request = digest(Digests.withdraw(who, thief, purse[who].nonce, until));
            c.data = abi.encodeCall(IMoltEscrow.withdraw, (who, thief, until, sign(thief, request)));
        }
        return badSignature(c, thief, who);
    }
}
