"""The compiled contracts that ship with the package, and whether code on a chain is theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from molt_market.domain.ids import Address

WORD_BYTES = 32


@dataclass(frozen=True)
class Artefact:
    """One compiled contract."""

    name: str
    abi: list[dict[str, Any]]
    creation_code: bytes
    runtime_code: bytes
    immutables: dict[str, tuple[int, ...]]  # where the values lie that are set at deployment

    @cached_property
    def _masked(self) -> bytes:
        return self._mask(self.runtime_code)

    def is_code(self, code: bytes) -> bool:
        """Tell whether `code` is this contract, whatever the values it was deployed with."""
        if len(code) != len(self.runtime_code) or self._mask(code) != self._masked:
            return False
        copies = (
            {code[start : start + WORD_BYTES] for start in places} for places in self.immutables.values()
        )
        return all(len(values) == 1 for values in copies)

    def code_with(self, values: Mapping[str, int]) -> bytes:
        """Return the code that lies on a chain where the contract was deployed with these values."""
        code = bytearray(self.runtime_code)
        for name, places in self.immutables.items():
            for start in places:
                code[start : start + WORD_BYTES] = values[name].to_bytes(WORD_BYTES, "big")
        return bytes(code)

    def immutable(self, name: str, code: bytes) -> int:
        """Return the value that a contract was deployed with, from its code."""
        start = self.immutables[name][0]
        return int.from_bytes(code[start : start + WORD_BYTES], "big")

    def immutable_address(self, name: str, code: bytes) -> Address:
        return Address.of(self.immutable(name, code))

    def _mask(self, code: bytes) -> bytes:
        masked = bytearray(code)
        for places in self.immutables.values():
            for start in places:
                masked[start : start + WORD_BYTES] = bytes(WORD_BYTES)
        return bytes(masked)


@cache
def artefact(name: str) -> Artefact:
    """Load a contract of the package, for example MoltEscrow."""
    return read_artefact(
        json.loads(files("molt_market.chain").joinpath("abi", f"{name}.json").read_text("utf-8"))
    )


def read_artefact(stored: Mapping[str, Any]) -> Artefact:
    """Read what scripts/export_abi.py makes of a compiled contract."""
    return Artefact(
        name=stored["contractName"],
        abi=stored["abi"],
        creation_code=bytes.fromhex(stored["bytecode"].removeprefix("0x")),
        runtime_code=bytes.fromhex(stored["deployedBytecode"].removeprefix("0x")),
        immutables={
            immutable: tuple(place["start"] for place in places)
            for immutable, places in stored["immutableReferences"].items()
        },
    )
