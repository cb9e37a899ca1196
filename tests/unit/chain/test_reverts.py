"""Every foreign error has one of ours, with its cause kept."""

from typing import Any

import pytest
import requests
import web3.exceptions
from eth_abi.abi import encode
from eth_utils import keccak

from molt_market.chain.artefacts import artefact
from molt_market.chain.reverts import RpcError, of_answer, of_revert, of_transport, without_secrets
from molt_market.errors import CallReverted, EscrowError, MarketError, NodeError, NodeUnreachable, Refused
from molt_market.refusals import REFUSALS, TooEarly, UnknownRefusal

URL = "http://127.0.0.1:8545"
SAMPLES = {"address": "0x" + "b1" * 20, "bytes32": b"\x12" * 32, "string": "why", "bytes": b"why"}


def solidity_errors() -> list[Any]:
    found = {}
    for contract in ("MoltEscrow", "MoltToken", "PanelArbiter"):
        for each in artefact(contract).abi:
            if each["type"] == "error":
                found[each["name"], len(each["inputs"])] = each
    return list(found.values())


def revert_of(signature: str, types: list[str], values: list[Any]) -> bytes:
    return keccak(text=signature)[:4] + encode(types, values)


def refused(code: int, actual: int = 7, limit: int = 9) -> bytes:
    return revert_of("Refused(uint8,uint256,uint256)", ["uint8", "uint256", "uint256"], [code, actual, limit])


@pytest.mark.parametrize("error", solidity_errors(), ids=lambda error: error["name"])
def test_of_revert__every_error_of_our_contracts__is_typed_and_named(error: Any) -> None:
    types = [each["type"] for each in error["inputs"]]
    data = revert_of(f"{error['name']}({','.join(types)})", types, [SAMPLES.get(each, 7) for each in types])
    found = of_revert(data)
    assert isinstance(found, Refused if error["name"] == "Refused" else CallReverted)
    assert error["name"] in str(found) or isinstance(found, Refused)


@pytest.mark.parametrize("code", REFUSALS)
def test_of_revert__every_code__has_its_class_with_both_figures(code: int) -> None:
    found = of_revert(refused(code))
    assert type(found) is REFUSALS[code]
    assert (found.actual, found.limit) == (7, 9)


def test_of_revert__code_of_a_later_contract__is_unknown() -> None:
    assert isinstance(of_revert(refused(200)), UnknownRefusal)


def test_of_revert__code_0__is_no_refusal() -> None:
    assert isinstance(of_revert(refused(0)), CallReverted)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no reason given"),
        (revert_of("Error(string)", ["string"], ["too poor"]), "too poor"),
        (revert_of("Panic(uint256)", ["uint256"], [0x11]), "panic 0x11"),
        (b"\x12\x34\x56\x78", "unknown error 0x12345678"),
        (refused(2)[:40], "unknown error"),
        (revert_of("Error(string)", ["string"], ["x"])[:40], "unknown error"),
    ],
)
def test_of_revert__anything_else__says_what_there_is(data: bytes, reason: str) -> None:
    found = of_revert(data)
    assert isinstance(found, CallReverted)
    assert reason in found.reason


@pytest.mark.parametrize(
    "error",
    [
        {"code": 3, "message": "execution reverted", "data": "0x" + refused(2).hex()},
        {"code": -32000, "message": "execution reverted: custom error", "data": "0x" + refused(2).hex()},
        {"code": -32015, "message": "VM execution error: reverted", "data": "Reverted 0x" + refused(2).hex()},
        {"code": -32603, "message": "reverted", "data": {"data": "0x" + refused(2).hex()}},
    ],
    ids=["anvil, geth", "older geth", "parity", "hardhat"],
)
def test_of_answer__refusal_as_nodes_wrap_it__is_found(error: Any) -> None:
    found = of_answer(RpcError("eth_call", error))
    assert isinstance(found, TooEarly)
    assert (found.actual, found.limit) == (7, 9)


@pytest.mark.parametrize(
    "error",
    [{"code": -32601, "message": "the method does not exist"}, {"message": "busy"}, "nonsense", {}],
)
def test_of_answer__the_nodes_own_error__is_a_node_error(error: Any) -> None:
    found = of_answer(RpcError("eth_call", error))
    assert type(found) is NodeError
    assert "eth_call" in str(found)


def test_of_answer__revert_with_data_that_is_none__has_no_reason() -> None:
    found = of_answer(RpcError("eth_call", {"code": 3, "message": "execution reverted", "data": "0xzz"}))
    assert isinstance(found, CallReverted)


def subclasses(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(deeper for each in root.__subclasses__() for deeper in subclasses(each))]


FOREIGN = [
    *subclasses(requests.RequestException),
    *(each for each in subclasses(web3.exceptions.Web3Exception) if each.__module__ == "web3.exceptions"),
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda foreign: foreign.__name__)
def test_of_transport__every_error_of_requests_and_web3__is_one_of_ours(foreign: type[Exception]) -> None:
    found = of_transport(foreign.__new__(foreign), URL)
    assert isinstance(found, MarketError)
    unreachable = issubclass(foreign, (requests.ConnectionError, requests.Timeout))
    assert type(found) is (NodeUnreachable if unreachable else NodeError)
    assert not isinstance(found, EscrowError)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("https://user:secret@node.example/v3/secret?key=secret#secret", "https://node.example"),
        ("http://node.example:secret", "an address that cannot be read"),
        ("secret", "an address that cannot be read"),
    ],
)
def test_of_transport__password_or_key_in_the_address__is_not_told(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
    for foreign in (requests.ConnectionError(), requests.HTTPError(f"404 for url: {url}")):
        told = str(of_transport(foreign, url))
        assert shown in told
        assert "secret" not in told
