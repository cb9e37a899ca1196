"""The contract on its chain beside the model: every call is made on both, then everything is compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from http.client import HTTPConnection
from typing import Any, NamedTuple

from eth_keys import keys
from eth_utils import keccak

from tests.contracts.machine.deal import STATUS_NAMES
from tests.contracts.machine.model import OFFERS, ORDERS, Model, Refusal
from tests.contracts.machine.wire import Call, Event, Match
from tests.contracts.node import GAS
from tests.contracts.refusals import SELECTOR, Code


class Party:
    """Somebody with a key, which comes from the name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = keys.PrivateKey(keccak(text=f"escrow machine: {name}"))
        self.address = str(self._key.public_key.to_address())

    def sign(self, digest: bytes) -> bytes:
        signature = self._key.sign_msg_hash(digest).to_bytes()
        return signature[:64] + bytes([signature[64] + 27])


class Answer(NamedTuple):
    """What became of a mined transaction: its logs, or the data that it reverted with."""

    reverted: str | None
    logs: list[tuple[list[str], str]]


class Chain:
    """A connection of its own to the node: many views travel in one request, which is most of the speed."""

    def __init__(self, uri: str, addresses: dict[bool, str]) -> None:
        self._connection = HTTPConnection(uri.removeprefix("http://").rstrip("/"))
        self._addresses = addresses  # of the escrow (False) and the token (True)
        self._view = lru_cache(50_000)(self._ask)

    def request(self, method: str, *params: Any) -> Any:
        return self._post(_request(method, params))["result"]

    def send(self, sender: str, time: int, call: Call) -> Answer:
        """Mine a transaction at this time, in a block of its own."""
        self.request("evm_setNextBlockTimestamp", time)
        sent = {"from": sender, "gas": hex(GAS), "gasPrice": "0x0", **self._target(call)}
        receipt = self.request("eth_sendTransactionSync", sent)
        if receipt["status"] != "0x1":
            trace = self.request(
                "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
            )
            return Answer(trace.get("output", "0x"), [])
        ours = (log for log in receipt["logs"] if log["address"] == self._addresses[False])
        return Answer(None, [(log["topics"], log["data"]) for log in ours])

    def read(self, views: Sequence[Call]) -> list[str]:
        """Ask views at the latest block; the answers are hex text without its prefix."""
        answers = self._post([self._view(view) for view in views])
        return [answer["result"][2:] for answer in answers]

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back all that happens in this block."""
        snapshot = self.request("evm_snapshot")
        try:
            yield
        finally:
            self.revert(snapshot)

    def revert(self, snapshot: str) -> None:
        assert self.request("evm_revert", snapshot) is True, f"the node has lost snapshot {snapshot}"

    def _ask(self, view: Call) -> dict[str, Any]:
        return _request("eth_call", (self._target(view), "latest"))

    def _target(self, call: Call) -> dict[str, str]:
        return {"to": self._addresses[call.of_token], "data": "0x" + call.data().hex()}

    def _post(self, body: Any) -> Any:
        self._connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        failed = [each for each in (answer if isinstance(answer, list) else [answer]) if "error" in each]
        assert not failed, f"{failed[:3]}, asked {str(body)[:2_000]}"
        return answer


def _request(method: str, params: Sequence[Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}


class Stage:
    """Plays calls on the chain and in a model; any difference is an AssertionError that names it."""

    def __init__(self, chain: Chain, cast: Sequence[Party]) -> None:
        self.chain = chain
        self.cast = cast
        self.steps: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    def play(self, model: Model, sender: str, time: int, call: Call) -> Refusal | None:
        """Make a call on both sides, compare what it answers and logs, then everything else (I27).

        A refusal is a mined transaction that reverts with the code and figures that the model predicts.
        """
        refusal = predict(model, sender, time, call)
        answer = self.chain.send(sender, time, call)
        expected = (
            Answer(None, [_log(event) for event in model.events]) if refusal is None else _refused(refusal)
        )
        assert answer == expected, f"{call.verb}: the chain says {answer}, the model {expected} ({refusal!r})"
        self.audit(model)
        return refusal

    def check(self, model: Model, match: Match, opener: str) -> None:
        """Compare what `check` answers at the second of the latest block, and the id that the deal has."""
        terms = model.terms(match)
        words, deal_id = self.chain.read([Call("check", (match, opener)), Call("dealIdOf", (terms,))])
        assert deal_id == model.deal_id(terms).hex()
        code, *figures = model.check(match, opener)
        assert _numbers(words) == (Code[code], *figures), f"check of {match}: the model says {code} {figures}"

    def count(self, model: Model, call: Call, refusal: Refusal | None) -> None:
        """Remember what the model's latest call was and did."""
        self.steps.update(str_of(step) for step in model.steps)
        self.steps[call.verb if refusal is None else f"{call.verb} refused"] += 1
        if refusal is not None:
            self.refusals[refusal.code] += 1
        self.refusals.update(event.values[1] for event in model.events if event.name == "ItemRefused")

    def audit(self, model: Model) -> None:
        """Compare all that can be seen, and the tokens with what they must cover (I01, I02)."""
        expected = dict(self._expected(model))
        found = self.chain.read(list(expected))
        for (view, values), words in zip(expected.items(), found, strict=True):
            told = _numbers(words)
            assert told == values, f"{view}: the chain says {told}, the model {values}"
        donated = model.state.tokens[model.setting.escrow] - model.liabilities
        assert donated == model.state.donated, (
            f"{donated} tokens are nobody's, {model.state.donated} were given away"
        )

    def _expected(self, model: Model) -> Iterator[tuple[Call, tuple[int, ...]]]:
        yield from self._expected_money(model)
        yield from self._expected_deals(model)
        state = model.state
        yield Call("config"), tuple(state.config)
        yield Call("feeBps"), (state.config.fee(model.now),)
        for role, holders in state.roles.items():
            yield Call("roleOf", (role,)), tuple(int(each, 16) for each in holders)
        for (account, digest), until in state.approved.items():
            yield Call("approvedUntil", (account, digest)), (until,)
        for policy_id, (policy, _) in state.policies.items():
            yield Call("policyOf", (policy_id,)), tuple(map(_word, policy))

    def _expected_money(self, model: Model) -> Iterator[tuple[Call, tuple[int, ...]]]:
        state, escrow = model.state, model.setting.escrow
        for party in self.cast:
            owner = party.address
            yield Call("accountOf", (owner,)), tuple(model.account(owner))
            yield Call("token.balanceOf", (owner,)), (state.tokens.get(owner, 0),)
        for owner, allowance in state.allowances.items():
            yield Call("token.allowance", (owner, escrow)), (allowance,)
            yield Call("token.nonces", (owner,)), (state.permit_nonces.get(owner, 0),)
        yield Call("token.balanceOf", (escrow,)), (state.tokens.get(escrow, 0),)

    def _expected_deals(self, model: Model) -> Iterator[tuple[Call, tuple[int, ...]]]:
        state = model.state
        groups = {(maker, side, group) for maker, side, group in state.cutoffs}
        groups |= {(buyer, ORDERS, slot >> 7) for buyer, slot in state.opened}
        for deal_id, deal in state.deals.items():
            yield Call("dealOf", (deal_id,)), deal.words()
            provider, slot = deal.terms.provider, deal.terms.slot
            yield Call("gpusInUse", (provider, slot)), (model.gpus_in_use(provider, slot),)
            groups.add((provider, OFFERS, slot >> 2))
        for key in groups:
            yield Call("groupOf", key), model.group_words(*key)


def predict(model: Model, sender: str, time: int, call: Call) -> Refusal | None:
    """Play a call in the model alone."""
    try:
        model.play(sender, time, call)
    except Refusal as refusal:
        return refusal
    return None


def str_of(step: Any) -> str:
    """Write a transition as the summary names it."""
    label = f"{step.verb}: {STATUS_NAMES[step.before]} -> {STATUS_NAMES[step.after]}"
    return f"{label} ({step.detail})" if step.detail else label


def _log(event: Event) -> tuple[list[str], str]:
    if event.name == "ItemRefused":
        index, code, *figures = event.values
        event = Event(event.name, (index, Code[code], *figures))
    return event.log()


def _refused(refusal: Refusal) -> Answer:
    figures = (Code[refusal.code], refusal.actual, refusal.limit)
    return Answer("0x" + SELECTOR.hex() + "".join(f"{figure:064x}" for figure in figures), [])


def _numbers(words: str) -> tuple[int, ...]:
    return tuple(int(words[at : at + 64], 16) for at in range(0, len(words), 64))


def _word(value: Any) -> int:
    if isinstance(value, bytes):
        return int.from_bytes(value)
    return int(value, 16) if isinstance(value, str) else int(value)
