"""What a node or a contract refused, as one typed error each: the one place where foreign errors are read."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from web3.exceptions import Web3Exception

from molt_market.chain.interface import interface
from molt_market.errors import CallReverted, MarketError, NodeError, NodeUnreachable
from molt_market.refusals import refusal

REVERTED = 3  # the JSON-RPC code of a revert
ERROR_SELECTOR = bytes.fromhex("08c379a0")  # Error(string)
PANIC_SELECTOR = bytes.fromhex("4e487b71")  # Panic(uint256)
NO_ADDRESS = "an address that cannot be read"


class RpcError(Exception):
    """The node answered a request with an error object."""

    def __init__(self, method: str, error: Any) -> None:
        known = error if isinstance(error, dict) else {"message": error}
        super().__init__(f"{method}: {known.get('message')}")
        self.method = method
        self.code = known.get("code")
        self.message = str(known.get("message", ""))
        self.data = known.get("data")

    @property
    def is_revert(self) -> bool:
        return self.code == REVERTED or "revert" in self.message.lower()

    @property
    def is_unknown_method(self) -> bool:
        """The node does not do what was asked: by JSON-RPC's code, or by that of EIP-1474."""
        return self.code in {-32_601, -32_004}

    @property
    def revert_data(self) -> bytes:
        """The data that the contract reverted with; nodes wrap it differently."""
        data = self.data.get("data") if isinstance(self.data, dict) else self.data
        try:
            return bytes.fromhex(str(data or "").removeprefix("Reverted ").removeprefix("0x"))
        except ValueError:
            return b""


def of_answer(error: RpcError) -> MarketError:
    """Return the error of a node's answer: the contract's refusal, another revert, or the node's own."""
    if error.is_revert:
        return of_revert(error.revert_data)
    return NodeError(f"the node refused {error.method}: {error.message} (code {error.code})")


def of_revert(data: bytes) -> MarketError:
    """Return the error that a call reverted with.

    A refusal of the escrow becomes its own class of `molt_market.refusals`, all else a CallReverted.
    """
    for contract in ("MoltEscrow", "MoltToken", "PanelArbiter"):
        known = interface(contract).decode_error(data)
        if known is None:
            continue
        name, values = known
        if name == "Refused" and values[0] != 0:
            return refusal(*values)
        return CallReverted(f"{name}({', '.join(map(str, values))})")
    return CallReverted(_reason(data))


def _reason(data: bytes) -> str:
    if data[:4] == ERROR_SELECTOR and len(data) >= 68:
        length = int.from_bytes(data[36:68], "big")
        return data[68 : 68 + length].decode("utf-8", "backslashreplace")
    if data[:4] == PANIC_SELECTOR and len(data) == 36:
        return f"panic {int.from_bytes(data[4:], 'big'):#04x}"
    return f"unknown error 0x{data.hex()}" if data else "no reason given"


# What goes wrong on the way to the node. The rest of `requests` and web3 are answers that cannot be read.
UNREACHABLE = (requests.ConnectionError, requests.Timeout)
FOREIGN = (requests.RequestException, Web3Exception, ValueError)


def of_transport(error: Exception, url: str) -> MarketError:
    """Return the error of a request that got no answer, or none that can be read."""
    shown = without_secrets(url)
    if isinstance(error, UNREACHABLE):
        return NodeUnreachable(shown)
    told = repr(error).replace(url, shown)
    return NodeError(f"the node at {shown} gave no answer that can be read: {told}")


def without_secrets(url: str) -> str:
    """Leave scheme, host and port of a node's address: the rest may hold a password, or a key.

    >>> without_secrets("https://user:secret@node.example:8545/v3/key?key=1")
    'https://node.example:8545'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return NO_ADDRESS
    if not parts.hostname:
        return NO_ADDRESS
    return f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port else "")
