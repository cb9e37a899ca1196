"""`molt dispute show`: what both sides say of a contested claim, and what happens if nobody rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from molt_market.attestation.evidence import EvidenceContent, EvidenceFindings, examine
from molt_market.attestation.tee import TeeVerdict, tee_binding, verify_nvidia, verify_tdx
from molt_market.cli.console import Output, iso
from molt_market.cli.context import AppContext
from molt_market.cli.explain import read_deal
from molt_market.cli.files import read_text
from molt_market.cli.options import AsJson, Deal
from molt_market.domain.amounts import Amount
from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.documents import DocumentKind
from molt_market.domain.events import DealClaimed, DealDisputed
from molt_market.domain.evidence import Evidence
from molt_market.domain.ids import ZERO_HASH, Address, EscrowId, Hash32
from molt_market.domain.pings import Rejection
from molt_market.errors import InvalidValue, counted, utc
from molt_market.payments.explanation import held_of
from molt_market.payments.results import hours_of
from molt_market.signing.evidence import evidence_hash, verify_evidence
from molt_market.signing.pings import verify_rejection
from molt_market.signing.typed_data import Domain


@dataclass(frozen=True, slots=True)
class Laid:
    """An evidence at the market: whose, whether the dispute names it, what it says and what of it is proven.

    `content` is None if it is a text of another form.
    """

    evidence: Evidence
    named: bool
    content: EvidenceContent | None = None
    findings: EvidenceFindings | None = None
    hardware: Sequence[tuple[str, TeeVerdict]] = ()


@dataclass(frozen=True, slots=True)
class Contested:
    """A dispute as its arbiter sees it. Digests are zero where the claim has none."""

    escrow: EscrowAccount
    arbiter: Address
    held: Amount
    usage_root: Hash32
    result_digest: Hash32
    evidence: Hash32
    laid: Sequence[Laid]
    rejections: Sequence[Rejection]

    @property
    def default(self) -> str:
        """What happens if nobody rules before the deadline."""
        if self.escrow.attested:
            return "the claim stands: attestors have signed it"
        return "the claim falls: no attestor has signed it"


NvidiaKeys = Annotated[
    Path | None,
    typer.Option(help="File of the keys that NVIDIA signs tokens with, as a JWK set.", metavar="FILE"),
]


def show(
    context: typer.Context, deal: Deal, *, nvidia_keys: NvidiaKeys = None, as_json: AsJson = False
) -> None:
    """Show a dispute: what each side says, its evidence, and what happens if nobody rules.

    Evidence lies at the market (--server). What of it proves itself is counted; the rest is a party's word.
    Tokens of NVIDIA's are looked at with the keys that you have pinned.
    """
    shared: AppContext = context.obj
    contested = _read(shared, EscrowId(deal), _keys(nvidia_keys))
    if shared.says_json(as_json=as_json):
        shared.output.json(_machine(contested))
    else:
        _print(shared.output, contested)


def _keys(path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    try:
        read = json.loads(read_text(path))
    except ValueError as error:
        raise InvalidValue(f"{path} is no JSON: give a file with a JWK set") from error
    return read if isinstance(read, dict) else {}


def _read(shared: AppContext, deal_id: EscrowId, nvidia_keys: Mapping[str, Any] | None) -> Contested:
    client = shared.client()
    escrow, events = read_deal(client, deal_id)
    if escrow.status is not DealStatus.DISPUTED:
        says = f"deal {escrow.id} is {escrow.status.name}, so nobody disputes it now"
        raise InvalidValue(f"{says}: `molt explain` says how it stands")
    claimed = next((each for each in events if isinstance(each, DealClaimed)), None)
    disputed = next((each for each in events if isinstance(each, DealDisputed)), None)
    held = held_of(escrow, events)
    root = ZERO_HASH if claimed is None else claimed.usage_root
    result = ZERO_HASH if claimed is None else claimed.result_digest
    binding = tee_binding(escrow.id, escrow.terms.agent, client.domain, usage_root=root, result_digest=result)
    look = Look(client.domain, escrow, root, binding, client.now(), nvidia_keys)
    named = ZERO_HASH if disputed is None else disputed.evidence
    return Contested(
        escrow=escrow,
        arbiter=client.stored_policy(escrow.terms.policy_id).arbiter,
        held=held.of_buyer + held.of_provider,
        usage_root=root,
        result_digest=result,
        evidence=named,
        laid=[_looked_at(each, named, look) for each in _evidence(shared, deal_id)],
        rejections=_rejections(shared, deal_id, client.domain),
    )


@dataclass(frozen=True, slots=True)
class Look:
    """What evidence is looked at with: the claim's root, what hardware had to sign, and the chain's time."""

    domain: Domain
    escrow: EscrowAccount
    usage_root: Hash32
    binding: Hash32
    now: datetime
    nvidia_keys: Mapping[str, Any] | None


def _evidence(shared: AppContext, deal_id: EscrowId) -> Iterator[Evidence]:
    if shared.server is None:
        return
    for posted in shared.api().documents(deal_id, DocumentKind.EVIDENCE):
        if posted.document.evidence is not None:
            yield posted.document.evidence


def _looked_at(evidence: Evidence, named: Hash32, look: Look) -> Laid:
    verify_evidence(evidence, look.domain)
    is_named = evidence_hash(evidence.content) == named
    try:
        content = EvidenceContent.read(evidence.content)
    except InvalidValue:
        return Laid(evidence, is_named)
    findings = examine(evidence, look.usage_root, look.escrow.terms.agent, look.domain)
    return Laid(evidence, is_named, content, findings, list(_hardware(content, look)))


def _hardware(content: EvidenceContent, look: Look) -> Iterator[tuple[str, TeeVerdict]]:
    if content.tdx is not None:
        yield "TDX quote", verify_tdx(content.tdx, look.binding, look.now)
    if content.nvidia_token is not None and look.nvidia_keys is not None:
        token, keys = content.nvidia_token, look.nvidia_keys
        yield "NVIDIA token", verify_nvidia(token, keys, look.binding, look.now)


def _rejections(shared: AppContext, deal_id: EscrowId, domain: Domain) -> list[Rejection]:
    if shared.server is None:
        return []
    found = [each.document.rejection for each in shared.api().documents(deal_id, DocumentKind.REJECTION)]
    rejections = [each for each in found if each is not None]
    for rejection in rejections:
        verify_rejection(rejection, domain)
    return rejections


# ---------------------------------------------------------------- for people


def _print(out: Output, told: Contested) -> None:
    escrow = told.escrow
    counter, claim = escrow.paid_gpu_seconds, escrow.claimed_gpu_seconds
    out.line(f"deal {escrow.id}", "bold")
    signed = "signed by attestors" if escrow.attested else "signed by no attestor"
    rows = {
        "provider": f"claims {_hours(escrow, claim)}, {signed}",
        "buyer": f"accepts {_hours(escrow, counter)}",
        "contested": f"{claim - counter} GPU-seconds; {told.held} are held",
        "rule": f"before {utc(escrow.locked_until)}, as {told.arbiter}",
        "else": told.default,
        "usage log": _digest(told.usage_root),
        "result": _digest(told.result_digest),
        "evidence": _digest(told.evidence),
    }
    for name, text in rows.items():
        out.line(f"{name:11}{text}")
    for laid in told.laid:
        out.line()
        for line in _lines(laid, escrow):
            out.line(line)
    for each in told.rejections:
        out.line(f"\nattestor {each.signer} did not sign {each.gpu_seconds} GPU-seconds: {each.code}")
        out.line(_shown(each.text))


def _lines(laid: Laid, escrow: EscrowAccount) -> Iterator[str]:
    whose = _side(laid.evidence.sender, escrow)
    named = "the dispute names it" if laid.named else "the dispute does not name it"
    yield f"evidence of the {whose}, {evidence_hash(laid.evidence.content)}: {named}"
    if laid.content is None or laid.findings is None:
        yield _shown(laid.evidence.content[:500])
        return
    found = laid.findings
    yield f"  {laid.content.reason.value}: {_shown(laid.content.text)}"
    heartbeats, pings = counted(found.heartbeats, "heartbeat"), counted(found.pings, "ping")
    yield f"  {heartbeats}, {found.in_log} of them proven to be in the claimed usage log"
    yield f"  {pings}: {found.answered} with the agent's answer, {found.unanswered} without"
    for what, verdict in laid.hardware:
        yield f"  {what}: {verdict.outcome.value}: {_shown(verdict.text)}"


def _side(sender: Address, escrow: EscrowAccount) -> str:
    terms = escrow.terms
    return "buyer" if sender in {terms.buyer, terms.voucher_signer} else "provider"


def _hours(escrow: EscrowAccount, gpu_seconds: int) -> str:
    return f"{gpu_seconds} GPU-seconds, {hours_of(escrow.terms, gpu_seconds)} hours"


def _digest(digest: Hash32) -> str:
    return "-" if digest == ZERO_HASH else digest


def _shown(text: str) -> str:
    """Return a party's text without what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


# ---------------------------------------------------------------- for programs


def _machine(told: Contested) -> dict[str, Any]:
    escrow = told.escrow
    return {
        "deal_id": escrow.id,
        "arbiter": told.arbiter,
        "before": iso(escrow.locked_until),
        "attested": escrow.attested,
        "counter_gpu_seconds": escrow.paid_gpu_seconds,
        "claimed_gpu_seconds": escrow.claimed_gpu_seconds,
        "held": str(told.held.base_units),
        "default": told.default,
        "usage_root": told.usage_root,
        "result_digest": told.result_digest,
        "evidence": told.evidence,
        "laid": [_machine_laid(each, escrow) for each in told.laid],
        "rejections": [each.model_dump(mode="json") for each in told.rejections],
    }


def _machine_laid(laid: Laid, escrow: EscrowAccount) -> dict[str, Any]:
    found = laid.findings
    return {
        "by": _side(laid.evidence.sender, escrow),
        "sender": laid.evidence.sender,
        "evidence": evidence_hash(laid.evidence.content),
        "named": laid.named,
        "reason": None if laid.content is None else laid.content.reason.value,
        "text": None if laid.content is None else laid.content.text,
        "heartbeats": None if found is None else found.heartbeats,
        "heartbeats_in_log": None if found is None else found.in_log,
        "pings": None if found is None else found.pings,
        "pings_answered": None if found is None else found.answered,
        "pings_unanswered": None if found is None else found.unanswered,
        "hardware": [
            {"what": what, "outcome": verdict.outcome.value, "text": verdict.text}
            for what, verdict in laid.hardware
        ],
    }
