"""Everything that molt-market raises.

MoltError
├── InvalidValue (also a ValueError)     an argument is wrong in itself: correct it
│   ├── InexactAmount                    money or hours that are not exact
│   ├── NegativeAmount                   money below zero
│   ├── TokenMismatch                    amounts of two tokens
│   ├── UnknownModel                     a GPU model that the catalogue lacks
│   └── InvalidQuery                     a search that cannot be read
└── MarketError                          the market cannot do what was asked
    ├── OrderNotFound · OfferNotFound
    ├── NoMatchingOffers · InsufficientCapacity · PriceExceedsBudget
    ├── InvalidStateTransition · Expired
    ├── NotReserved
    │   └── ReservationLapsed
    ├── TooManyReservations · TooManyDocuments · TooManySubscriptions · TooManyRequests
    ├── JobRefused · AgentSilent · ResultMismatch
    ├── SignatureError
    │   ├── InvalidSignature · WrongSigner
    │   └── UnsignedOffer · UnsignedOrder · CannotOpen
    ├── EscrowError                      the escrow contract, or a deal in it
    │   ├── DealNotFound · NotYet · MatchMismatch · ProofMismatch · PolicyNotFound · CallReverted
    │   └── Refused                      one class per code of the contract: molt_market.refusals
    ├── PaymentFailed                    a transaction had no, or not the wanted, effect
    │   ├── TransactionFailed · TransactionDropped · TransactionPending
    │   ├── TransactionRejected
    │   │   └── TransactionUnderpriced
    │   └── InsufficientTokens · InsufficientGas · GasBudgetUsedUp
    ├── ChainError
    │   ├── NodeUnreachable · NodeError · NodesDisagree · WrongChain · AnvilNotFound
    │   ├── DeploymentNotFound · DeploymentMismatch · OtherDeployment · UnsuitableToken
    │   └── Unfinalised · NoFaucet
    ├── StorageUnavailable · NotFollowed
    ├── ServerUnreachable · ServerError · MarketMismatch · NotOffered
    └── WalletError
        └── WalletNotFound · WrongPassword

Models check what they are built from and raise pydantic's ValidationError, a ValueError too; it quotes the
InvalidValue that caused it. Every error keeps its figures as attributes and survives pickling.
PolicyWarning is no error: what it warns of is done.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from molt_market.domain.amounts import Amount, Token


class PolicyWarning(UserWarning):
    """A policy is allowed and protects a buyer little: look whether it is the one that you want."""


class MoltError(Exception):
    """The root: catch it to catch everything that molt-market raises."""

    def __reduce__(self) -> tuple[Callable[..., MoltError], tuple[Any, ...]]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(cls: type[MoltError], args: tuple[Any, ...], state: dict[str, Any]) -> MoltError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


# --------------------------------------------------------------------------------------------- values


class InvalidValue(MoltError, ValueError):
    """A value is wrong in itself: the message says how to write it."""


class InexactAmount(InvalidValue):
    """Money or hours are a float, a bool or have too many decimals: write an int, a string or a Decimal."""


class NegativeAmount(InvalidValue):
    """An amount would fall below zero: compare before you subtract."""


class TokenMismatch(InvalidValue):
    """Amounts of two tokens were mixed: convert one of them first."""

    def __init__(self, left: Token, right: Token) -> None:
        super().__init__(f"an amount of {left.label} meets one of {right.label}: use one token throughout")
        self.left = left
        self.right = right


class UnknownModel(InvalidValue):
    """The catalogue lacks this GPU model: take one of the nearest, or add it to gpu_models.json."""

    def __init__(self, name: str, nearest: Sequence[str] = ()) -> None:
        hint = (
            f"did you mean {' or '.join(nearest)}?" if nearest else "see domain/gpu_models.json for all names"
        )
        super().__init__(f"unknown GPU model {name!r}: {hint}")
        self.name = name
        self.nearest = tuple(nearest)


class InvalidQuery(InvalidValue):
    """A search cannot be read: mend it at `position`, counted from 0; the message points at the character."""

    def __init__(self, text: str, position: int, problem: str) -> None:
        super().__init__(f"{problem} (at position {position})\n{_pointed(text, position)}")
        self.text = text
        self.position = position
        self.problem = problem


# --------------------------------------------------------------------------------------------- market


class MarketError(MoltError):
    """The market cannot do what was asked; each subclass says why."""


class OrderNotFound(MarketError):
    """The book has no such order: submit it, or check the id."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"no order {order_id} in the book: submit it first, or check the id")
        self.order_id = order_id


class OfferNotFound(MarketError):
    """The book has no such offer: add it, or check the id."""

    def __init__(self, offer_id: str) -> None:
        super().__init__(f"no offer {offer_id} in the book: add it first, or check the id")
        self.offer_id = offer_id


class NoMatchingOffers(MarketError):
    """There is nothing on offer: wait for providers, or look at another market."""

    def __init__(self, message: str = "no offer is active: wait for providers, then match again") -> None:
        super().__init__(message)


class InsufficientCapacity(MarketError):
    """No fitting offer has that many GPUs: ask for at most `available`, or split the order."""

    def __init__(self, required: int, available: int) -> None:
        super().__init__(
            f"{counted(required, 'GPU')} asked for, {available} available: ask for fewer or split the order"
        )
        self.required = required
        self.available = available


class PriceExceedsBudget(MarketError):
    """Only the price of the fitting offers is wrong: raise the budget to `price`, or ask for less."""

    def __init__(self, price: Amount, budget: Amount) -> None:
        super().__init__(
            f"the cheapest fitting offer costs {price}, the budget is {budget}: raise it or ask for less"
        )
        self.price = price
        self.budget = budget


class InvalidStateTransition(MarketError):
    """A status cannot follow another: look at the state machine of orders."""

    def __init__(self, from_: str, to: str) -> None:
        super().__init__(
            f"{from_} cannot become {to}: look at the present status (of a deal with `molt explain`), and do"
            " what it allows"
        )
        self.from_ = from_
        self.to = to


class Expired(MarketError):
    """An offer, order, signature or time limit has run out: make a new one."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} has expired: make a new one")
        self.what = what

    @classmethod
    def at(cls, now: datetime, what: str, until: datetime) -> Self:
        """Say what time it is too: the chain's clock may run ahead of this machine's."""
        return cls(f"{what} (until {utc(until)}, and the market's clock says {utc(now)})")


class NotReserved(MarketError):
    """These GPUs are not held for this match: reserve them first."""

    def __init__(self, message: str = "nothing is reserved for this match: reserve it first") -> None:
        super().__init__(message)


class ReservationLapsed(NotReserved):
    """The reservation ran out before the deal opened: match and reserve again."""

    def __init__(self, lapsed_at: datetime) -> None:
        super().__init__(f"the reservation lapsed at {utc(lapsed_at)}: match and reserve again")
        self.lapsed_at = lapsed_at


# ----------------------------------------------------------------------------------------- signatures


class TooManyReservations(MarketError):
    """A buyer holds GPUs for as many matches as anyone may: open or release some of them first."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} matches are reserved already: open or release some, or wait until they lapse"
        )
        self.most = most


class TooManyDocuments(MarketError):
    """A deal has as many documents at a market, or its gateway, as any may have: use the other one."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the deal has {most:,} documents here, no more are kept: hand them over the other way"
        )
        self.most = most


class TooManySubscriptions(MarketError):
    """A party has its alerts posted to so many webhooks already: end one first."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the party has {limit} subscriptions, as many as are allowed: end one first")
        self.limit = limit


class TooManyRequests(MarketError):
    """The server takes no more from this account or address for now: wait `retry_after` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"more requests than are taken at a time: try again in {retry_after} seconds")
        self.retry_after = retry_after


class JobRefused(MarketError):
    """The agent does not run the job, for the reason that he gives: mend it, or wait, and ask again."""

    def __init__(self, reason: str) -> None:
        shown = "".join(each if each.isprintable() else " " for each in reason)
        super().__init__(f"the agent does not run the job: {shown}")
        self.reason = reason


class AgentSilent(MarketError):
    """The agent of a deal has not answered yet: ask again, or stop the deal (`PaymentService.stop`)."""

    def __init__(self, deal_id: str, waited_for: str, seconds: float) -> None:
        super().__init__(
            f"the agent of deal {deal_id} has not sent {waited_for} in {seconds:g} s: ask again, as his"
            " gateway may be down, or stop the deal (`molt deal stop`)"
        )
        self.deal_id = deal_id


class ResultMismatch(MarketError):
    """What the agent gave out as the job's result is not what he has signed for: contest his claim."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(f"{what} is {actual}, and the agent has signed for {expected}: contest his claim")
        self.expected = expected
        self.actual = actual


class SignatureError(MarketError):
    """A signature is missing or does not fit."""


class InvalidSignature(SignatureError):
    """The bytes are no signature, or another message or key made them: sign exactly this message again."""


class WrongSigner(InvalidSignature):
    """A valid signature of the wrong account: sign with the key of `expected`."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"signed by {actual}, but {expected} has to sign: take that account's key")
        self.expected = expected
        self.actual = actual


class CannotOpen(SignatureError):
    """A sealed text does not open: it was sealed to another key, or changed since. Ask for it again."""

    def __init__(self) -> None:
        super().__init__("the sealed text does not open with this key: ask its sender to seal it again")


class UnsignedOffer(SignatureError):
    """The offer carries no signature, so no deal can be opened from it: its provider signs it first."""

    def __init__(self, offer_id: str) -> None:
        super().__init__(f"offer {offer_id} is not signed: its provider has to sign it (sign_offer)")
        self.offer_id = offer_id


class UnsignedOrder(SignatureError):
    """The order carries no signature, so no deal can be opened from it: its buyer signs it first."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id} is not signed: its buyer has to sign it (sign_order)")
        self.order_id = order_id


# --------------------------------------------------------------------------------------------- escrow


class EscrowError(MarketError):
    """The escrow cannot do it in its present state; the message names the way out."""


class DealNotFound(EscrowError):
    """The contract has no such deal: it was never opened, or lives in another deployment."""

    def __init__(self, deal_id: str) -> None:
        super().__init__(
            f"no deal {deal_id} in this deployment: check the id, the chain and that it was opened"
        )
        self.deal_id = deal_id


class PolicyNotFound(EscrowError):
    """The contract does not know the policy: register it first, anyone may."""

    def __init__(self, policy_id: str) -> None:
        super().__init__(
            f"policy {policy_id} is not registered in this deployment: register it first, anyone may"
        )
        self.policy_id = policy_id


class NotYet(EscrowError):
    """The step is right but too early: repeat it from `due_at` on."""

    def __init__(self, step: str, due_at: datetime, instead: str = "") -> None:
        super().__init__(
            f"{step} is possible from {utc(due_at)} on: call again then{instead and ', or '}{instead}"
        )
        self.step = step
        self.due_at = due_at


class MatchMismatch(EscrowError):
    """A match is not what its offer and order say: nothing was sent; match again."""


class ProofMismatch(EscrowError):
    """Input, proof and confirmation speak of different deals or hours: nothing was sent; make them agree."""


class CallReverted(EscrowError):
    """A call reverted without a refusal of the escrow: nothing was sent; `reason` is all that it said."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the call reverted: {reason}; check its arguments, balances and allowances")
        self.reason = reason


class Refused(EscrowError):
    """The contract refused a call: `actual` was found, `limit` had to be met; see molt_market.refusals."""

    code: int = 0
    name: str = ""

    def __init__(self, message: str, actual: int, limit: int) -> None:
        super().__init__(message)
        self.actual = actual
        self.limit = limit


# ------------------------------------------------------------------------------------------- payments


class PaymentFailed(MarketError):
    """A payment had not the wanted effect; the message says what is known of the money."""


class TransactionFailed(PaymentFailed):
    """The transaction was mined and reverted: only its gas is lost; the cause is chained where known."""

    def __init__(self, tx_hash: str, reason: str = "it reverted without a reason") -> None:
        super().__init__(f"transaction {tx_hash} failed: {reason}; no token moved")
        self.tx_hash = tx_hash
        self.reason = reason


class TransactionDropped(PaymentFailed):
    """The network forgot the transaction and its nonce is used by another: send the payment again."""

    def __init__(self, tx_hash: str) -> None:
        super().__init__(f"transaction {tx_hash} will never be mined: send the payment again")
        self.tx_hash = tx_hash


class TransactionPending(PaymentFailed):
    """The transaction was not mined in time, but still may be: ask again before you send anything else."""

    def __init__(self, tx_hash: str, waited_seconds: float) -> None:
        super().__init__(
            f"transaction {tx_hash} was not mined within {waited_seconds:g} s: call again to look further"
        )
        self.tx_hash = tx_hash
        self.waited_seconds = waited_seconds


class TransactionRejected(PaymentFailed):
    """The node did not take the transaction, so it was not sent: remove the reason, then pay again."""

    def __init__(self, tx_hash: str, reason: str) -> None:
        super().__init__(f"transaction {tx_hash} was not sent, the node refused it: {reason}; pay again")
        self.tx_hash = tx_hash
        self.reason = reason


class TransactionUnderpriced(TransactionRejected):
    """The node wants a higher fee, of the network or of the transaction that this one replaces."""


class InsufficientTokens(PaymentFailed):
    """The account has too few tokens: fund it with the difference."""

    def __init__(self, needed: Amount, available: Amount) -> None:
        super().__init__(f"{needed} are needed, the account has {available}: fund it with the difference")
        self.needed = needed
        self.available = available


class InsufficientGas(PaymentFailed):
    """The sending account cannot pay for gas: send it native coin; figures are in wei."""

    def __init__(self, account: str, needed: int, available: int) -> None:
        super().__init__(f"{account} has {available} wei for gas and needs {needed}: send it native coin")
        self.account = account
        self.needed = needed
        self.available = available


class GasBudgetUsedUp(PaymentFailed):
    """Too little is left of the gas that is paid for an account: nothing was sent. Figures in wei."""

    def __init__(self, account: str, needed: int, left: int, renews_at: datetime) -> None:
        super().__init__(
            f"to relay this takes up to {needed} wei of gas, and {left} wei are left for {account} until"
            f" {utc(renews_at)}: deposit more, call again then, or send it from an account of your own"
        )
        self.account = account
        self.needed = needed
        self.left = left
        self.renews_at = renews_at


# -------------------------------------------------------------------------------------------- storage


class StorageUnavailable(MarketError):
    """The database cannot be used now: nothing was written by the call that raised this."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason.strip()
        super().__init__(f"the database {url} cannot be used: {self.reason}; mend that, then call again")


class NotFollowed(MarketError):
    """The chain's log was not followed into this database yet: `follow(..).advance()` first."""

    def __init__(self) -> None:
        super().__init__("the log of this deployment was not followed into the database yet: follow it first")


# ---------------------------------------------------------------------------------------------- chain


class ServerUnreachable(MarketError):
    """The market's server does not answer: check its address, or try again later."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"the server at {url} does not answer ({reason}): check the address, or try later")
        self.url = url
        self.reason = reason


class ServerError(MarketError):
    """The market's server failed, or answered what cannot be read: try again later, or tell its operator."""

    def __init__(self, url: str, told: str) -> None:
        super().__init__(f"the server at {url} failed: {told}; try again later, or tell its operator")
        self.url = url
        self.told = told


class MarketMismatch(MarketError):
    """The server is for another market than the deployment: use the one that belongs to it."""


class NotOffered(MarketError):
    """This server does not do that for others: do it yourself, or use another server."""

    def __init__(self, what: str) -> None:
        super().__init__(f"this server offers no {what}: do without it, or use another server")
        self.what = what


class ChainError(MarketError):
    """The chain, or what is deployed on it, is not as expected."""


class NodeUnreachable(ChainError):
    """The RPC node does not answer: start it, or correct its address."""

    def __init__(self, url: str) -> None:
        super().__init__(f"no node answers at {url}: start one, or correct the address")
        self.url = url


class NodeError(ChainError):
    """The RPC node answered with an error of its own; the cause is chained."""


class NodesDisagree(ChainError):
    """Two nodes tell different things about one block: find out which of them is on a fork, or lies."""

    def __init__(self, block: int, one: str, other: str) -> None:
        super().__init__(
            f"the nodes disagree about block {block}: {one}, or {other}; wait, and if it stays so, replace"
            " the one that is wrong"
        )
        self.block = block
        self.one = one
        self.other = other


class WrongChain(ChainError):
    """The node serves another chain than was asked for: connect to the right one."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(
            f"the node serves chain {actual}, but chain {expected} was asked for: connect to the right one"
        )
        self.expected = expected
        self.actual = actual


class AnvilNotFound(ChainError):
    """The program of a local chain is not installed: install Anvil, or say where it is."""

    def __init__(self, program: str) -> None:
        super().__init__(
            f"{program} is not on the PATH: `make dev` puts one into .toolchain/bin, add that to the PATH;"
            " or install Foundry, or set MOLT_ANVIL"
        )
        self.program = program


class DeploymentNotFound(ChainError):
    """Nothing is known to be deployed on this chain: deploy, or pass the deployment's file."""

    def __init__(self, chain_id: int, looked_in: str = "deployments/") -> None:
        super().__init__(
            f"no deployment is known for chain {chain_id}, looked in {looked_in}: deploy there"
            " (docs/deploying.md), or say where its file is: --deployment, MOLT_DEPLOYMENTS, deployment="
        )
        self.chain_id = chain_id
        self.looked_in = looked_in


class DeploymentMismatch(ChainError):
    """The contract at the deployment's address is not the one that was recorded: do not send money to it."""


class OtherDeployment(ChainError):
    """Another deployment is recorded, or half done, in this one's place: go on with that one, or move it."""


class UnsuitableToken(ChainError):
    """An escrow cannot settle in this token: its money would not add up. Take another one."""

    def __init__(self, token: str, reason: str) -> None:
        super().__init__(f"no escrow can settle in the token at {token}: {reason}")
        self.token = token
        self.reason = reason


class Unfinalised(ChainError):
    """A block has too few confirmations or was reorganised away: wait and read again."""


class NoFaucet(ChainError):
    """The token of this deployment cannot be minted by anyone: get tokens from somebody who has them."""

    def __init__(self, chain_id: int, token: str) -> None:
        super().__init__(
            f"{token} on chain {chain_id} has no faucet, as it is no token for tests: have somebody who has"
            " some send them"
        )
        self.chain_id = chain_id
        self.token = token


class WalletError(MarketError):
    """A key file cannot be used."""


class WalletNotFound(WalletError):
    """There is no key file at the path: correct it, or create a wallet there."""

    def __init__(self, path: str) -> None:
        super().__init__(f"no wallet at {path}: correct the path, or create one there")
        self.path = path


class WrongPassword(WalletError):
    """The password does not open the key file: try another."""

    def __init__(self, path: str) -> None:
        super().__init__(f"the password does not open {path}: try another")
        self.path = path


def counted(number: int | str, thing: str) -> str:
    """Write how many there are of a thing.

    >>> counted(1, "GPU"), counted(4, "GPU"), counted("1.5", "hour")
    ('1 GPU', '4 GPUs', '1.5 hours')
    """
    return f"{number} {thing}" if str(number) == "1" else f"{number} {thing}s"


def utc(moment: datetime) -> str:
    """Write a UTC time as messages show it.

    >>> from datetime import UTC, datetime
    >>> utc(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02 03:04:05 UTC'
    """
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _pointed(text: str, position: int) -> str:
    """Show a text around a position, with a mark below it.

    >>> print(_pointed("vram_gb=abc", 8))
      vram_gb=abc
              ^
    """
    start = max(position - 48, 0)
    end = start + 72
    before = ("..." if start else "") + _in_one_line(text[start:position])
    after = _in_one_line(text[position:end]) + ("..." if len(text) > end else "")
    return f"  {before}{after}\n  {' ' * sum(map(_columns, before))}^"


def _in_one_line(text: str) -> str:
    """Replace what would break the line, or the terminal, by one character each."""
    return "".join(
        c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _columns(character: str) -> int:
    """Return how many columns a terminal gives to a character."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
