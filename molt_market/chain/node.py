"""One node, asked by JSON-RPC. It never retries: who asks decides."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from eth_abi.exceptions import DecodingError
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from molt_market.chain.reverts import FOREIGN, RpcError, of_answer, of_transport
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.transactions import Call
from molt_market.errors import MarketError, NodeError, WrongChain

BATCH = RPCEndpoint("batch")
MOST_AT_ONCE = 100  # requests in one batch; public nodes refuse many more


class _Provider(HTTPProvider):
    """Takes an answer only to the question that was asked: what lies between may mix them up."""

    def make_request(self, method: RPCEndpoint, params: Any) -> Any:
        request = self.encode_rpc_request(method, params)
        answer: Any = self.decode_rpc_response(self._make_request(method, request))
        asked = json.loads(request)["id"]
        if isinstance(answer, dict) and answer.get("id") != asked:
            raise ValueError(f"the answer is to request {answer.get('id')!r}, not {asked}")
        return answer

    def make_batch_request(self, batch_requests: list[tuple[RPCEndpoint, Any]]) -> Any:
        """Return the answers in the order of the requests, or what the node answered to all of them."""
        requests = self.encode_batch_rpc_request(batch_requests)
        answers: Any = self.decode_rpc_response(self._make_request(BATCH, requests))
        if not isinstance(answers, list):
            return answers
        by_id = {answer["id"]: answer for answer in answers}
        asked = [each["id"] for each in json.loads(requests)]
        if len(by_id) != len(answers) or by_id.keys() != set(asked):
            raise ValueError(
                f"{len(answers)} answers to other requests than the {len(asked)} that were asked"
            )
        return [by_id[each] for each in asked]


class Node:
    """A node at an address. Errors are typed: NodeUnreachable, NodeError, or what a contract refused."""

    def __init__(self, url: str, *, timeout_seconds: int = 10) -> None:
        self.url = url
        self._provider = _Provider(
            url, request_kwargs={"timeout": timeout_seconds}, exception_retry_configuration=None
        )

    def request(self, method: str, *params: Any) -> Any:
        """Ask the node, and return its result."""
        try:
            return self.ask(method, *params)
        except RpcError as error:
            raise of_answer(error) from error

    def ask(self, method: str, *params: Any) -> Any:
        """As `request`, but the node's own error comes as an RpcError, for who has to tell them apart."""
        try:
            response: Any = self._provider.make_request(RPCEndpoint(method), list(params))
        except FOREIGN as error:
            raise of_transport(error, self.url) from error
        return self._result(method, response)

    def requests(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        """Ask the same of many things at once, in few round trips; return the results in their order."""
        answers = self.attempts(method, params)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise of_answer(answer) from answer
        return answers

    def attempts(self, method: str, params: Sequence[Sequence[Any]]) -> list[Any]:
        """As `requests`, but where the node answers one with an error, its RpcError stands for the result."""
        answers: list[Any] = []
        for first in range(0, len(params), MOST_AT_ONCE):
            batch = [(RPCEndpoint(method), list(each)) for each in params[first : first + MOST_AT_ONCE]]
            try:
                responses = self._provider.make_batch_request(batch)
            except (*FOREIGN, LookupError, TypeError) as error:
                raise of_transport(error, self.url) from error
            if not isinstance(responses, list):
                raise self._of_all(method, responses)
            answers += [self._attempt(method, each) for each in responses]
        return answers

    def _attempt(self, method: str, response: Any) -> Any:
        try:
            return self._result(method, response)
        except RpcError as error:
            return error

    def _of_all(self, method: str, response: Any) -> MarketError:
        """Return the error of one answer to a whole batch."""
        error = self._attempt(method, response)
        if isinstance(error, RpcError):
            return of_answer(error)
        return of_transport(ValueError(f"{method} answered {response!r}"), self.url)

    def _result(self, method: str, response: Any) -> Any:
        if not isinstance(response, dict) or ("result" not in response and not response.get("error")):
            raise of_transport(ValueError(f"{method} answered {response!r}"), self.url)
        if response.get("error"):
            raise RpcError(method, response["error"])
        return response["result"]

    def number(self, method: str, *params: Any) -> int:
        """Ask for a number."""
        answer = self.request(method, *params)
        with readable(method):
            return int(answer, 16)

    def call(
        self,
        call: Call,
        *,
        sender: Address | None = None,
        block: int | str = "latest",
        storage: Mapping[Hash32, Hash32] | None = None,
        codes: Mapping[Address, bytes] | None = None,
    ) -> bytes:
        """Make a call without sending it, as if the contract had these words in its storage.

        And as if these codes were at their addresses. Raises what the contract refused with.
        """
        answer = self.request("eth_call", *call_params(call, sender, block, storage, codes))
        with readable("eth_call"):
            return unhex(answer)

    def calls(
        self,
        calls: Sequence[Call],
        *,
        sender: Address | None = None,
        block: int | str = "latest",
        storage: Mapping[Hash32, Hash32] | None = None,
        gas: Sequence[int] | None = None,
    ) -> list[bytes | MarketError]:
        """Make many calls as `call` does, each by itself; what it would raise stands for an answer.

        `gas`: what each call may take (default: what the node allows).
        """
        params = [call_params(call, sender, block, storage) for call in calls]
        for (fields, *_), limit in zip(params, gas or (), strict=False):
            fields["gas"] = hex(limit)
        answers = self.attempts("eth_call", params)
        with readable("eth_call"):
            return [of_answer(each) if isinstance(each, RpcError) else unhex(each) for each in answers]

    def read(self, calls: Sequence[Call], *, block: int | str = "latest") -> list[bytes]:
        """Make many calls at once, all of which have to work. Raises what the first that does not would."""
        found = []
        for answer in self.calls(calls, block=block):
            if isinstance(answer, MarketError):
                raise answer
            found.append(answer)
        return found

    def estimate_gas(
        self, call: Call, sender: Address, *, overrides: Mapping[Address, Mapping[str, str]] | None = None
    ) -> int:
        """Return the gas that a call would take now, as if accounts had this `code` or `nonce` (hex text).

        Raises what the contract refused with.
        """
        others = (overrides,) if overrides else ()
        return self.number("eth_estimateGas", fields_of(call, sender), "pending", *others)

    def code(self, address: Address) -> bytes:
        answer = self.request("eth_getCode", address, "latest")
        with readable("eth_getCode"):
            return unhex(answer)

    def require_chain(self, chain_id: int) -> None:
        """Raise WrongChain unless the node serves this chain."""
        actual = self.number("eth_chainId")
        if actual != chain_id:
            raise WrongChain(expected=chain_id, actual=actual)

    def chain_name(self) -> str:
        """Return what tells the chain from all others: `<chain id>:<hash of its first block>`.

        A local chain that starts anew has the old one's id, and another first block.
        """
        chain_id, first = self.number("eth_chainId"), self.request("eth_getBlockByNumber", "0x0", False)
        with readable("eth_getBlockByNumber"):
            return f"{chain_id}:{Hash32(first['hash'])}"

    def block_time(self, block: int | str = "pending") -> int:
        """Return the Unix second of a block; by default of the one that would be mined now."""
        found = self.request("eth_getBlockByNumber", block_name(block), False)
        if found is None:  # not every node shows a pending block
            found = self.request("eth_getBlockByNumber", "latest", False)
        with readable("eth_getBlockByNumber"):
            return int(found["timestamp"], 16)

    def block_times(self, blocks: Collection[int]) -> dict[int, int]:
        """Return the Unix second of each of these blocks."""
        numbers = sorted(blocks)
        found = self.requests("eth_getBlockByNumber", [(hex(number), False) for number in numbers])
        with readable("eth_getBlockByNumber"):
            return {number: int(block["timestamp"], 16) for number, block in zip(numbers, found, strict=True)}


@contextmanager
def readable(method: str) -> Iterator[None]:
    """Raise NodeError if what a node answered cannot be read in this block."""
    try:
        yield
    except (AttributeError, DecodingError, LookupError, TypeError, ValueError) as error:
        raise NodeError(f"the node's answer to {method} cannot be read: {error!r}") from error


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def block_name(block: int | str) -> str:
    """Write a block as a node takes it: a number, or a word like "latest"."""
    return hex(block) if isinstance(block, int) else block


def call_params(
    call: Call,
    sender: Address | None,
    block: int | str,
    storage: Mapping[Hash32, Hash32] | None = None,
    codes: Mapping[Address, bytes] | None = None,
) -> list[Any]:
    """Write what `eth_call` takes; `storage`: words that the contract is taken to have, `codes`: as there."""
    taken = (codes or {}).items()
    overrides: dict[Any, Any] = {address: {"code": "0x" + code.hex()} for address, code in taken}
    if storage is not None:
        overrides.setdefault(call.to, {})["stateDiff"] = storage
    return [fields_of(call, sender), block_name(block), *([overrides] if overrides else [])]


def fields_of(call: Call, sender: Address | None) -> dict[str, str]:
    """Write a call as a node takes it."""
    fields = {"data": "0x" + call.data.hex()}
    if call.to is not None:
        fields["to"] = call.to
    if sender is not None:
        fields["from"] = sender
    return fields
