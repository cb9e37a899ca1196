"""Compare what a deployment's file names with what contracts/ gives: `python scripts/verify.py FILE`.

The sources are compiled anew, what the constructors write into the code is filled in from the file's
arguments, and the whole is compared with the code on the chain. Exits with 0 if all is the same, else with 1.
`--standard-json FILE` writes what explorers take. docs/deploying.md has the rest.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from molt_market.chain.artefacts import WORD_BYTES, Artefact, read_artefact
from molt_market.chain.deployments import DeployedContract, Deployment, hash_of, load_deployment
from molt_market.chain.interface import interface
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import address_by_factory, immutables_of
from molt_market.domain.ids import ZERO_ADDRESS, Address, Hash32
from molt_market.domain.transactions import Call
from molt_market.errors import DeploymentMismatch, MoltError
from scripts.export_abi import ExportError, compile_contracts, standard_json

PANEL = interface("PanelArbiter")


class Outcome(StrEnum):
    """What was found at an address. The first one alone is good."""

    SAME = "the same"
    NO_CODE = "no code"
    OTHER_CODE = "other code"
    OTHER_VALUES = "other values"
    OTHER_ADDRESS = "other address"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one contract; `reason` says what differs, or what was compared."""

    contract: str
    address: Address
    outcome: Outcome
    reason: str

    @property
    def is_good(self) -> bool:
        return self.outcome is Outcome.SAME


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare deployed contracts with the sources.")
    parser.add_argument("file", type=Path, nargs="?", help="a deployment's file: deployments/<chain-id>.json")
    parser.add_argument("--rpc-url", help="address of a node (default: MOLT_RPC_URL)")
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    parser.add_argument("--standard-json", type=Path, help="write the compiler's input to this file")
    given = parser.parse_args(arguments)
    if given.file is None and given.standard_json is None:
        parser.error("give a deployment's file, or --standard-json, or both")
    try:
        if given.standard_json is not None:
            write_standard_json(given.standard_json)
        verdicts = [] if given.file is None else verify_file(given.file, given.rpc_url)
    except (ExportError, MoltError) as error:
        print(error, file=sys.stderr)
        return 1
    report(verdicts, as_json=given.json)
    return 0 if all(verdict.is_good for verdict in verdicts) else 1


def verify_file(file: Path, rpc_url: str | None) -> list[Verdict]:
    """Verify the deployment of a file. Raises MoltError or ExportError where nothing can be said."""
    deployment = load_deployment(chain_of(file), file)
    network = Network.numbered(deployment.chain_id) or Network(file.stem, deployment.chain_id)
    node = Node(network.node_address(rpc_url))
    node.require_chain(deployment.chain_id)
    sources = {name: read_artefact(stored) for name, stored in compile_contracts().items()}
    return list(verify(deployment, node, sources))


def verify(deployment: Deployment, node: Node, sources: Mapping[str, Artefact]) -> Iterator[Verdict]:
    """Yield the verdict on each contract that a deployment created, and on its escrow in any case."""
    contracts = deployment.contracts or (_escrow_of(deployment),)
    for contract in contracts:
        yield _verdict(contract, deployment, node, sources[contract.name])
    if deployment.escrow not in {each.address for each in contracts if each.name == "MoltEscrow"}:
        said = "the file names this escrow, and among its contracts another"
        yield Verdict("MoltEscrow", deployment.escrow, Outcome.OTHER_ADDRESS, said)


def report(verdicts: Sequence[Verdict], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([_plain(verdict) for verdict in verdicts], indent=2))
        return
    for verdict in verdicts:
        mark = "OK  " if verdict.is_good else "FAIL"
        print(f"{mark} {verdict.contract} {verdict.address}: {verdict.outcome}, {verdict.reason}")


def write_standard_json(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(standard_json(), indent=2, sort_keys=True) + "\n", "utf-8")
    print(f"wrote {file}", file=sys.stderr)


# ---------------------------------------------------------------- one contract


class Different(Exception):
    """Something is not as the file and the sources say."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason


def _verdict(contract: DeployedContract, deployment: Deployment, node: Node, source: Artefact) -> Verdict:
    try:
        code = _require_code(contract, deployment, node, source)
        _require_address(contract, source)
        _require_file(contract, deployment, code)
        _require_members(contract, node)
    except Different as found:
        return Verdict(contract.name, contract.address, found.outcome, found.reason)
    said = f"{len(code):,} bytes, {contract.code_hash}"
    return Verdict(contract.name, contract.address, Outcome.SAME, said)


def _require_code(contract: DeployedContract, deployment: Deployment, node: Node, source: Artefact) -> bytes:
    """Return the code on the chain: it is what the sources give, with what the constructor wrote into it."""
    code = node.code(contract.address)
    if not code:
        raise Different(Outcome.NO_CODE, f"chain {deployment.chain_id} has nothing there")
    immutables = immutables_of(contract.name, _values(contract), contract.address, deployment.chain_id)
    expected = source.code_with(immutables)
    if len(code) != len(expected):
        raise Different(Outcome.OTHER_CODE, f"{len(code):,} bytes, the sources give {len(expected):,}")
    for name, places in source.immutables.items():
        for start in places:
            value = int.from_bytes(code[start : start + WORD_BYTES], "big")
            if value != immutables[name]:
                said = f"{name} is {value:#x}, by the file it is {immutables[name]:#x}"
                raise Different(Outcome.OTHER_VALUES, said)
    for place, (found, wanted) in enumerate(zip(code, expected, strict=True)):
        if found != wanted:
            said = f"byte {place:,} is 0x{found:02x}, the sources give 0x{wanted:02x}"
            raise Different(Outcome.OTHER_CODE, said)
    return code


def _require_address(contract: DeployedContract, source: Artefact) -> None:
    """Look whether the factory gave this address: then what is in storage only is as the file says too."""
    if contract.salt is None:
        return
    made = address_by_factory(contract.salt, source.creation_code + bytes.fromhex(contract.arguments))
    if made != contract.address:
        said = f"the factory makes {made} of the file's arguments and salt"
        raise Different(Outcome.OTHER_ADDRESS, said)


def _require_file(contract: DeployedContract, deployment: Deployment, code: bytes) -> None:
    """Look whether the rest of the file says the same as the contract's entry."""
    if contract.code_hash != hash_of(code):
        raise Different(Outcome.OTHER_VALUES, f"its code hashes to {hash_of(code)}, not as the file says")
    if contract.address == deployment.escrow:
        try:
            deployment.require_code(code)
        except DeploymentMismatch as error:
            raise Different(Outcome.OTHER_VALUES, str(error)) from error


def _require_members(contract: DeployedContract, node: Node) -> None:
    """Ask a panel for its members: they lie in its storage, not in its code."""
    if contract.name != "PanelArbiter":
        return
    call = Call(contract.address, PANEL.encode("members"))
    members = PANEL.decode("members", node.call(call))[0]
    if tuple(members) != tuple(_values(contract)[0]):
        said = f"its members are {', '.join(members)}, not those of the file"
        raise Different(Outcome.OTHER_VALUES, said)


def _values(contract: DeployedContract) -> tuple[Any, ...]:
    return interface(contract.name).decode_constructor(bytes.fromhex(contract.arguments))


def _escrow_of(deployment: Deployment) -> DeployedContract:
    """Return the escrow of a file without contracts; roles and fee are not in its code, so any will do."""
    nobody = (ZERO_ADDRESS, ZERO_ADDRESS, 0)
    delays = (deployment.withdraw_delay_seconds, deployment.cancel_delay_seconds)
    values = (deployment.token_address, deployment.fee_recipient, *nobody, *delays)
    return DeployedContract(
        name="MoltEscrow",
        address=deployment.escrow,
        arguments=interface("MoltEscrow").encode_constructor(*values).hex(),
        code_hash=Hash32(deployment.code_hash),
    )


def chain_of(file: Path) -> int:
    """Return the chain id that a file's name says."""
    if not file.stem.isdecimal():
        raise DeploymentMismatch(f"{file} does not say its chain: call it <chain-id>.json")
    return int(file.stem)


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        "contract": verdict.contract,
        "address": verdict.address,
        "outcome": verdict.outcome.value,
        "reason": verdict.reason,
    }


if __name__ == "__main__":
    sys.exit(main())
