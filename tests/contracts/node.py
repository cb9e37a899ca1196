"""The chain that the tests run on, with a clock that only the tests move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode
from eth_utils import keccak, to_checksum_address

from tests.contracts.actors import Actor
from tests.contracts.refusals import reverted

FIRST_SECOND = (
    2_000_000_000  # of the tests' time, far after any machine's clock: a chain's time cannot go back
)
GAS = 10_000_000  # fixed, so that a refused call is mined as well and not only estimated


@dataclass(frozen=True)
class Receipt:
    """A mined transaction that succeeded."""

    hash: str
    time: int
    gas_used: int
    created: str | None
    logs: list[dict[str, Any]]

    def events(self, contract: Any) -> list[tuple[str, dict[str, Any]]]:
        """Return the names and values of the events of `contract`, in order."""
        abis = {keccak(text=abi.selector).hex(): abi for abi in contract.contract_type.events}
        return [
            _decoded(abis[log["topics"][0][2:]], log)
            for log in self.logs
            if to_checksum_address(log["address"]) == contract.address
        ]


class Node:
    """Sends calls as whoever is named (the node signs for anybody) and mines each in a block of its own."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self.request("anvil_autoImpersonateAccount", True)
        self.request("anvil_setBlockTimestampInterval", 1)
        self.mine(FIRST_SECOND)

    def request(self, method: str, *params: Any) -> Any:
        return self._provider.make_request(method, list(params))

    @property
    def chain_id(self) -> int:
        return int(self.request("eth_chainId"), 16)

    @property
    def now(self) -> int:
        """The time of the latest block, the one that views see."""
        return int(self.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def nonce(self, address: str) -> int:
        return int(self.request("eth_getTransactionCount", address, "latest"), 16)

    @property
    def base_fee(self) -> int:
        return int(self.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)

    def code(self, address: str) -> str:
        return str(self.request("eth_getCode", address, "latest"))

    def at(self, time: int) -> None:
        """Give the next block, so the next transaction, this time; else a second later than the last."""
        self.request("evm_setNextBlockTimestamp", time)

    def mine(self, time: int) -> None:
        """Mine an empty block of this time: views see it."""
        self.at(time)
        self.request("evm_mine")

    def deploy(self, container: Any, *arguments: Any) -> Any:
        """Deploy a contract and return it, or raise Reverted."""
        code = container.contract_type.deployment_bytecode.bytecode
        data = bytes.fromhex(code.removeprefix("0x")) + container.constructor.encode_input(*arguments)
        receipt = self.send("0x" + "de" * 20, None, data)
        return container.at(to_checksum_address(str(receipt.created)), fetch_from_explorer=False)

    def transact(self, sender: Actor, method: Any, *arguments: Any) -> Receipt:
        """Send a call of an ape contract's method, or raise Reverted."""
        return self.send(*sender.sends(method.contract.address, method.encode_input(*arguments)))

    def read(self, method: Any, *arguments: Any) -> tuple[int, ...]:
        """Return the numbers that a view answers, of a struct too: several times as fast as ape's call."""
        call = {"to": method.contract.address, "data": "0x" + method.encode_input(*arguments).hex()}
        answer = bytes.fromhex(self.request("eth_call", call, "latest")[2:])
        values = decode([given.canonical_type for given in method.abis[0].outputs], answer)
        return values[0] if isinstance(values[0], tuple) else values

    def send(self, sender: str, to: str | None, data: bytes, *, value: int = 0, gas: int = GAS) -> Receipt:
        """Send a transaction and return what became of it.

        Raises:
            Refused: it was mined with status 0, refused by the contract.
            Reverted: it was mined with status 0 for another reason.
        """
        transaction = {
            "from": sender,
            "data": "0x" + data.hex(),
            "gas": hex(gas),
            "gasPrice": "0x0",
            "value": hex(value),
        }
        receipt = self.request("eth_sendTransactionSync", transaction | ({} if to is None else {"to": to}))
        if receipt["status"] != "0x1":
            trace = self.request(
                "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
            )
            raise reverted(bytes.fromhex(trace.get("output", "0x")[2:]))
        block = self.request("eth_getBlockByHash", receipt["blockHash"], False)
        return Receipt(
            hash=receipt["transactionHash"],
            time=int(block["timestamp"], 16),
            gas_used=int(receipt["gasUsed"], 16),
            created=receipt["contractAddress"],
            logs=receipt["logs"],
        )


def _decoded(abi: Any, log: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    plain = [given for given in abi.inputs if not given.indexed]
    values = iter(decode([given.canonical_type for given in plain], bytes.fromhex(log["data"][2:])))
    topics = iter(log["topics"][1:])
    return abi.name, {given.name: _value(given, values, topics) for given in abi.inputs}


def _value(given: Any, values: Any, topics: Any) -> Any:
    if given.indexed:
        (value,) = decode([given.canonical_type], bytes.fromhex(next(topics)[2:]))
    else:
        value = next(values)
    return _readable(given.canonical_type, value)


def _readable(abi_type: str, value: Any) -> Any:
    """Write addresses with their checksum and bytes as hex text, as the signed messages have them."""
    if abi_type == "address":
        return to_checksum_address(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple) and abi_type.endswith("[]"):
        return tuple(_readable(abi_type[:-2], item) for item in value)
    if isinstance(value, tuple):
        types = abi_type.strip("()").split(",")
        return tuple(_readable(type_, item) for type_, item in zip(types, value, strict=True))
    return value
