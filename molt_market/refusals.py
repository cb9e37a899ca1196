"""One class per refusal code of the contract, in the order of `enum Code` in IMoltEscrow.sol.

A class's name is the code's in camel case, its place the code's number: when the enum changes, change the
classes alike. `says` is the message; its figures are formatted by what they are (see _Figure).

>>> print(refusal(2, 1_767_225_600, 1_767_225_660))
it is 2026-01-01 00:00:00 UTC, and this may be done from 2026-01-01 00:01:00 UTC on: call again then
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

from molt_market.errors import InvalidValue, MoltError, Refused, counted, utc

Units = Callable[[int], str]
"""Writes base units of the token."""

STATUS_NAMES = ("NONE", "LOCKED", "CLAIMED", "DISPUTED", "RELEASED", "REFUNDED")


def refusal(code: int, actual: int, limit: int) -> Refused:
    """Return the error of a code with the two words that came with it.

    A code that this version does not know becomes an UnknownRefusal. Raises InvalidValue for 0, no refusal.
    """
    if code == 0:
        raise InvalidValue("code 0 (NONE) is no refusal: do not make an error of it")
    known = REFUSALS.get(code)
    return UnknownRefusal(code, actual, limit) if known is None else known(actual, limit)


def in_units(error: MoltError, units: Units) -> str:
    """Say an error; if it is a refusal, with sums of money as `units` writes them: `token.written`.

    >>> in_units(BuyerBalance(1, 3), lambda word: f"{word} cents")
    "the buyer's balance is 1 cents, 3 cents are needed: deposit the difference"
    """
    words = vars(error)
    known = _is_word(words.get("actual")) and _is_word(words.get("limit"))
    return error.told(units) if isinstance(error, CodedRefusal) and known else str(error)


def _is_word(value: object) -> bool:
    """Tell whether a figure can be the contract's: an error may have come over the wire."""
    return type(value) is int and 0 <= value < 2**256


class CodedRefusal(Refused):
    """A refusal whose code is known. `actual` and `limit` are the contract's words as numbers."""

    says: ClassVar[str]

    def __init__(self, actual: int, limit: int) -> None:
        super().__init__(self._told(actual, limit, _base_units), actual, limit)

    def told(self, units: Units) -> str:
        """Say it with sums of money as `units` writes them."""
        return self._told(self.actual, self.limit, units)

    @classmethod
    def _told(cls, actual: int, limit: int, units: Units) -> str:
        return cls.says.format(actual=_Figure(actual, units), limit=_Figure(limit, units))


class UnknownRefusal(Refused):
    """The contract gave a code that this version of molt-market does not know: update molt-market."""

    def __init__(self, code: int, actual: int, limit: int) -> None:
        super().__init__(
            f"refused with unknown code {code} ({actual}, {limit}): update molt-market", actual, limit
        )
        self.code = code
        self.name = f"CODE_{code}"


def _base_units(word: int) -> str:
    return f"{word} base units"


class _Figure:
    """A word of the contract that formats itself by what it is, `{actual:time}`; else as a number."""

    def __init__(self, word: int, units: Units) -> None:
        self._word, self._units = word, units

    def __format__(self, kind: str) -> str:
        if kind == "units":
            return self._units(self._word)
        return _WRITERS[kind](self._word) if kind else str(self._word)


def _time(word: int) -> str:
    try:
        return utc(datetime.fromtimestamp(word, UTC))
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        return f"second {word}"


def _status(word: int) -> str:
    return STATUS_NAMES[word] if word < len(STATUS_NAMES) else f"status {word}"


def _text(word: int) -> str:
    text = word.to_bytes(32, "big").strip(b"\0").decode("ascii", "backslashreplace")
    return repr(text) if text else "not stated"


_WRITERS: dict[str, Callable[[int], str]] = {
    "time": _time,
    "status": _status,
    "text": _text,
    "address": lambda word: f"0x{word:040x}",
    "hash": lambda word: f"0x{word:064x}",
    "bits": lambda word: f"0b{word:b}",
    "gpus": lambda word: counted(word, "GPU"),
    "used": lambda word: f"{word} GPU-seconds",
}


# ------------------------------------------------------------------------------------------- the call


class WrongStatus(CodedRefusal):
    """The deal is in another status than this step needs: read it again and take the step that fits."""

    says = (
        "the deal is {actual:status}, this needs {limit:status}: read its status and take the step that fits"
    )


class TooEarly(CodedRefusal):
    """The step is not due yet: repeat it from the time `limit` on."""

    says = "it is {actual:time}, and this may be done from {limit:time} on: call again then"


class TooLate(CodedRefusal):
    """The time for this step, or of its signature, is over: finalize, or sign with a later deadline."""

    says = "it is {actual:time}, and too late since {limit:time}: finalize, or sign a later deadline"


class BadSignature(CodedRefusal):
    """The signature is not the needed account's: sign these very figures for this deployment."""

    says = "signed by {actual:address} (0x0: nobody), needed {limit:address}: sign these figures again"


class MalformedCall(CodedRefusal):
    """The call could not be read, or failed without a code: check its arguments and the ABI."""

    says = "the call failed without a code ({actual} bytes of revert data): check its arguments and the ABI"


class NestedMulticall(CodedRefusal):
    """A multicall holds a multicall: put all calls into one list."""

    says = "call {actual} is itself a multicall: put all calls into one list"


class TooManyCalls(CodedRefusal):
    """A multicall holds too many calls: send several."""

    says = "{actual} calls in one multicall, at most {limit} are taken: send several"


class BatchGas(CodedRefusal):
    """A skipping batch has too little gas left for the next item's share: send it with more."""

    says = "{actual} gas left in the batch, the next item needs {limit}: send it with more gas"


class DeploymentOutOfRange(CodedRefusal):
    """A value given at deployment breaks a bound: correct the deployment's settings."""

    says = "a deployment value is {actual}, its bound {limit}: correct the deployment's settings"


# ------------------------------------------------------------------------------- deposit and withdraw


class ZeroAmount(CodedRefusal):
    """There is nothing to move: give an amount above zero, or request the withdrawal first."""

    says = "the amount is {actual}: move at least {limit} base unit, or request the withdrawal first"


class TokenRefused(CodedRefusal):
    """The token did not move: approve the escrow for the amount, and hold it."""

    says = "{actual:units} can be moved, {limit:units} were asked for: raise the allowance or the balance"


class InexactTransfer(CodedRefusal):
    """Not exactly the amount arrived: the token takes a fee or rebases, and cannot be used here."""

    says = "{actual:units} arrived instead of {limit:units}: a token with a fee on transfer cannot be used"


class TokenCap(CodedRefusal):
    """The contract would hold more than it can count: deposit less."""

    says = "the contract would hold {actual:units}, its most is {limit:units}: deposit less"


class PermitRefused(CodedRefusal):
    """The token did not accept the permit: sign one for this amount and nonce, or deposit by allowance."""

    says = "the permit had no effect ({actual}, needed {limit}): sign a new one, or approve and deposit"


class InsufficientBalance(CodedRefusal):
    """The balance in the escrow is below the amount: ask for less."""

    says = "the balance is {actual:units}, {limit:units} were asked for: ask for less"


class BadReceiver(CodedRefusal):
    """Tokens cannot be sent to this account: name another."""

    says = "{actual:address} cannot receive: name another account"


# ------------------------------------------------------------------------------------------ roles


class NotHolder(CodedRefusal):
    """Only who holds the role may do this; to accept a role, only the one to whom it was offered."""

    says = "{actual:address} may not do this: only {limit:address} may"


class PauseResting(CodedRefusal):
    """The guardian's last pause ended less than 7 days ago: wait until `limit`."""

    says = "it is {actual:time}, and the next pause may begin at {limit:time}: pause again then"


class FeeOutOfRange(CodedRefusal):
    """The fee is above the contract's cap: announce a lower one."""

    says = "a fee of {actual} bps is above the cap of {limit} bps: announce a lower one"


class CancelPending(CodedRefusal):
    """An earlier cancel of the group has not taken effect yet: repeat it from then on, if still needed."""

    says = "it is {actual:time}, and an earlier cancel takes effect at {limit:time}: cancel again after that"


# ------------------------------------------------------------------------------------------- policies


class PolicyArbiter(CodedRefusal):
    """The policy names no arbiter: name one."""

    says = "the policy's arbiter is the zero address: name one"


class PolicyBond(CodedRefusal):
    """The policy's bond is out of bounds: take one within."""

    says = "the bond is {actual} bps, its bound {limit}: take one within"


class PolicyChallenge(CodedRefusal):
    """The policy's challenge window is out of bounds: take one within."""

    says = "the challenge window is {actual} s, its bound {limit} s: take one within"


class PolicyGrace(CodedRefusal):
    """The policy's grace period is out of bounds: take one within."""

    says = "the grace period is {actual} s, its bound {limit} s: take one within"


class PolicyNotice(CodedRefusal):
    """The policy's notice is out of bounds: take one within."""

    says = "the notice is {actual} min, its bound {limit} min: take one within"


class PolicyArbitration(CodedRefusal):
    """The policy's arbitration time is out of bounds: take one within."""

    says = "the arbitration time is {actual} s, its bound {limit} s: take one within"


class PolicyArbiterShare(CodedRefusal):
    """The policy's share for the arbiter is out of bounds: take one within."""

    says = "the arbiter's share is {actual} bps, its bound {limit}: take one within"


class PolicyThreshold(CodedRefusal):
    """The policy's threshold does not fit its attestors: 1 to their number, or 0 of none."""

    says = "the threshold is {actual}, its bound {limit}: take 1 to the number of attestors, or 0 of none"


class PolicyAttestorCount(CodedRefusal):
    """The policy has too many attestors: drop some."""

    says = "{actual} attestors, at most {limit} are allowed: drop some"


class PolicyAttestorOrder(CodedRefusal):
    """The policy's attestors are not ascending, or one comes twice: sort them by number."""

    says = "attestor {actual:address} does not come after {limit:address}: sort them ascending, each once"


class PolicyAttestors(CodedRefusal):
    """The attestors given are not those hashed into the policy: give its whole set, sorted."""

    says = "the attestors hash to {actual:hash}, the policy says {limit:hash}: give its whole set, sorted"


class PolicyUnknown(CodedRefusal):
    """The policy is not registered: register it first, anyone may."""

    says = "policy {actual:hash} is not registered: register it first, anyone may"


# ------------------------------------------------------------------- open: do offer and order fit


class SelfTrade(CodedRefusal):
    """Provider and buyer are the same account: nobody trades with himself."""

    says = "{actual:address} is provider and buyer: nobody trades with himself"


class OfferMismatch(CodedRefusal):
    """The order names another offer: open it with that one, or sign a new order."""

    says = "the offer is {actual:hash}, the order names {limit:hash}: use that one, or sign a new order"


class PolicyMismatch(CodedRefusal):
    """Offer and order name different policies: sign an order with the offer's."""

    says = "the offer's policy is {actual:hash}, the order's {limit:hash}: sign an order with the offer's"


class PriceZero(CodedRefusal):
    """The offer's price is zero: it has to be re-priced."""

    says = "the offer's price is zero: it has to be at least one base unit"


class PriceAboveLimit(CodedRefusal):
    """The offer costs more per GPU-hour than the order allows: raise the limit, or take another offer."""

    says = "the price is {actual:units} per GPU-hour, the limit {limit:units}: raise it or take another offer"


class BudgetExceeded(CodedRefusal):
    """The whole allocation costs more than the order's budget: raise it, or ask for less."""

    says = "all of it costs {actual:units}, the budget is {limit:units}: raise it or ask for less"


class GpuCountZero(CodedRefusal):
    """The order asks for no GPU: ask for at least one."""

    says = "the order asks for no GPU: ask for at least one"


class VramBelowMinimum(CodedRefusal):
    """The offer's GPUs have less memory than the order needs: take another offer."""

    says = "the GPUs have {actual} GB, the order needs {limit} GB: take another offer"


class FeaturesMissing(CodedRefusal):
    """The offer lacks a feature that the order requires: take another offer."""

    says = "the offer has features {actual:bits}, the order needs {limit:bits}: take another offer"


class CountryMismatch(CodedRefusal):
    """The offer is in another country than the order requires: take another offer."""

    says = "the offer's country is {actual:text}, the order needs {limit:text}: take another offer"


class RegionMismatch(CodedRefusal):
    """The offer is in another region than the order requires: take another offer."""

    says = "the offer's region is {actual:text}, the order needs {limit:text}: take another offer"


class ModelMismatch(CodedRefusal):
    """The offer's GPU model is not the order's: take another offer."""

    says = "the offer's model hashes to {actual:hash}, the order's to {limit:hash}: take another offer"


class DurationOutOfRange(CodedRefusal):
    """The order's hours are zero or too many: ask for 1 to 8,760."""

    says = "{actual} hours, their bound is {limit}: ask for 1 to 8,760"


class DurationBelowCommitment(CodedRefusal):
    """The order is shorter than the offer's least commitment: ask for more hours, or take another offer."""

    says = "{actual} hours are below the offer's commitment of {limit}: ask for more or take another offer"


class DurationAboveAvailable(CodedRefusal):
    """The order is longer than the offer is available: ask for fewer hours, or take another offer."""

    says = "{actual} hours are above the {limit} that are available: ask for fewer or take another offer"


class AllocationTooLarge(CodedRefusal):
    """GPUs times hours are more than one deal can count: split the order."""

    says = "{actual:used} are asked for, one deal counts at most {limit:used}: split the order"


class AgentZero(CodedRefusal):
    """The offer names no agent: name the provider, or the key that signs his receipts."""

    says = "the offer's agent is the zero address: name the provider, or the key that signs his receipts"


class VoucherSignerForbidden(CodedRefusal):
    """The order's voucher signer is nobody, the provider or his agent: name the buyer, or a key of his."""

    says = "{actual:address} may not sign vouchers: name the buyer, or a key of his"


# ----------------------------------------------------------------------- open: may it be done now


class Paused(CodedRefusal):
    """The guardian has paused openings, open deals go on: open this one from `limit` on."""

    says = "it is {actual:time}, and no deal opens before {limit:time}: open it then"


class NotOpener(CodedRefusal):
    """The order names another opener: he or the buyer has to send it."""

    says = "{actual:address} may not open it: the opener {limit:address} or the buyer has to send it"


class OfferNotYetValid(CodedRefusal):
    """The offer was created in the future of the chain: wait until then."""

    says = "it is {actual:time}, the offer was created at {limit:time}: wait until then"


class OfferExpired(CodedRefusal):
    """The offer has expired: take another one."""

    says = "it is {actual:time}, the offer expired at {limit:time}: take another one"


class OfferCancelled(CodedRefusal):
    """The provider has cancelled the offer: take another one."""

    says = "the offer of {actual:time} is cancelled, as all before {limit:time}: take another one"


class OrderNotYetValid(CodedRefusal):
    """The order was created in the future of the chain: wait until then."""

    says = "it is {actual:time}, the order was created at {limit:time}: wait until then"


class OrderExpired(CodedRefusal):
    """The order has expired: sign a new one."""

    says = "it is {actual:time}, the order expired at {limit:time}: sign a new one"


class OrderCancelled(CodedRefusal):
    """The buyer has cancelled the order: sign a new one."""

    says = "the order of {actual:time} is cancelled, as all before {limit:time}: sign a new one"


class OrderAlreadyOpened(CodedRefusal):
    """The order's slot has opened its one deal: sign a new order with an unused slot."""

    says = "slot {actual} of the buyer has opened its deal: sign an order with an unused slot"


class CapacityExceeded(CodedRefusal):
    """The offer's GPUs are in use: ask for fewer, wait, or take another offer."""

    says = "{actual:gpus} would be in use, the offer has {limit}: ask for fewer or take another offer"


class ArbiterIsParty(CodedRefusal):
    """The policy's arbiter is a party of this deal: choose another policy."""

    says = "arbiter {actual:address} is a party of this deal: choose another policy"


class FeeAboveLimit(CodedRefusal):
    """The contract's fee is above what the provider accepts: he has to sign a new offer."""

    says = "the fee is {actual} bps, the offer accepts {limit}: the provider has to sign a new offer"


class BuyerBalance(CodedRefusal):
    """The buyer's balance in the escrow is below the price (or his stake): deposit the difference."""

    says = "the buyer's balance is {actual:units}, {limit:units} are needed: deposit the difference"


class ProviderBalance(CodedRefusal):
    """The provider's balance in the escrow is below the bond: he has to deposit the difference."""

    says = "the provider's balance is {actual:units}, the bond {limit:units}: he deposits the difference"


# ---------------------------------------------------------------------------------- release and claim


class NotAbovePaid(CodedRefusal):
    """The voucher or receipt brings nothing new: these GPU-seconds are paid already."""

    says = "{actual:used} are not above the {limit:used} already paid: there is nothing left to do with it"


class AboveElapsed(CodedRefusal):
    """The receipt states more than could be delivered so far: wait, or state less."""

    says = "{actual:used} are above the {limit:used} that have passed: wait, or state less"


class NotCompleted(CodedRefusal):
    """A receipt without a result counts only after the end: wait, or attest the result."""

    says = "it is {actual:time}, the deal ends at {limit:time}: wait, or claim with a result digest"


class UnattestedPolicy(CodedRefusal):
    """The policy has no attestors, so no claim is attested: a voucher, a split or a ruling pays."""

    says = "the policy has no attestors: ask the buyer for a voucher, or claim without (claim_unattested)"


class AttestorSet(CodedRefusal):
    """The attestors given are not the policy's: give its whole set, sorted."""

    says = "the attestors hash to {actual:hash}, the policy's to {limit:hash}: give its whole set, sorted"


class Quorum(CodedRefusal):
    """Too few attestors have signed: collect more signatures."""

    says = "{actual} attestors signed, {limit} are needed: collect more signatures"


class AttestorOrder(CodedRefusal):
    """The attestors' signatures are not ascending by signer, or one is none: sort them."""

    says = "signer {actual:address} does not come after {limit:address}: sort by signer, each once"


class AttestorUnknown(CodedRefusal):
    """A signer is not among the policy's attestors, or signed another receipt: drop that signature."""

    says = "{actual:address} is no attestor of the policy, or signed another receipt: drop that signature"


class AttestorIsParty(CodedRefusal):
    """An attestor is buyer, provider or agent of this deal: his signature does not count, drop it."""

    says = "attestor {actual:address} is a party of this deal: drop that signature"


# -------------------------------------------------------------------- stop, dispute, ruling and split


class AlreadyStopped(CodedRefusal):
    """The buyer has stopped the deal already: its end moves once."""

    says = "the deal is stopped already and ends at {actual:time}: an end moves only once"


class StopTooLate(CodedRefusal):
    """With notice and commitment the stop would not end the deal any earlier: let it end."""

    says = "a stop now would end the deal at {actual:time}, it ends at {limit:time} anyway: let it end"


class CounterOutOfRange(CodedRefusal):
    """The counter is below what is paid, or not below the claim: give a figure in between."""

    says = "the counter is {actual:used}, its bound {limit:used}: at least what is paid, below the claim"


class RulingOutOfRange(CodedRefusal):
    """The ruling, or what is conceded, is not between the paid and the claimed GPU-seconds: correct it."""

    says = "the ruling is {actual:used}, its bound {limit:used}: rule from the paid to the claimed ones"


class SplitOutOfRange(CodedRefusal):
    """The split is below what is paid, or above the allocation (in a dispute: the claim)."""

    says = "the split is {actual:used}, its bound {limit:used}: agree on a figure in between"


REFUSALS: dict[int, type[CodedRefusal]] = dict(enumerate(CodedRefusal.__subclasses__(), start=1))
for _code, _class in REFUSALS.items():
    _class.code = _code
    _class.name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", _class.__name__).upper()
