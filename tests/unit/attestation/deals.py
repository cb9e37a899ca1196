"""A deal of real accounts with its policy, and proofs for it."""

from datetime import timedelta
from typing import Any

from molt_market.attestation.receipts import assemble_proof, countersign
from molt_market.domain.deals import EscrowAccount
from molt_market.domain.ids import ZERO_HASH, Hash32
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import ExecutionProof
from molt_market.domain.terms import Terms
from molt_market.signing.hashes import deal_id, policy_id
from molt_market.signing.signers import LocalSigner
from molt_market.signing.statements import sign_receipt
from molt_market.signing.typed_data import Domain
from tests.factories import NOON, make_escrow, make_policy, make_terms
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER, PROVIDER

DOMAIN = Domain(31_337, "0x5FbDB2315678afecb367f032d93F642f64180aa3")
GPUS = 4
HOURS = 8
ENDS_AT = NOON + timedelta(hours=HOURS)
ALL = GPUS * HOURS * 3_600
DONE = Hash32("0x" + "d0" * 32)
ROOT = Hash32("0x" + "70" * 32)


def policy(**overrides: Any) -> Policy:
    """Make a policy of 2 in 3 attestors."""
    addresses = tuple(attestor.address for attestor in ATTESTORS)
    return make_policy(**{"attestors": addresses, "threshold": 2, **overrides})


def terms(of: Policy | None = None, **overrides: Any) -> Terms:
    parties = {
        "buyer": BUYER.address,
        "voucher_signer": BUYER.address,
        "provider": PROVIDER.address,
        "agent": AGENT.address,
        "policy_id": policy_id(of or policy()),
    }
    return make_terms(**{**parties, **overrides})


def escrow(of: Policy | None = None, **overrides: Any) -> EscrowAccount:
    """Make a LOCKED deal of 4 GPUs for 8 hours, opened at noon, claimable for a day after its end."""
    agreed: Terms = overrides.pop("terms", None) or terms(of)
    return make_escrow(**{"terms": agreed, "id": deal_id(agreed, DOMAIN), **overrides})


def proof(
    gpu_seconds: int = ALL,
    *,
    deal: EscrowAccount | None = None,
    agent: LocalSigner = AGENT,
    attestors: tuple[LocalSigner, ...] = ATTESTORS[:2],
    result_digest: Hash32 = ZERO_HASH,
    domain: Domain = DOMAIN,
    of: Policy | None = None,
) -> ExecutionProof:
    """Make a proof that is right unless told otherwise."""
    receipt = sign_receipt(
        (deal or escrow(of)).id, gpu_seconds, agent, domain, result_digest=result_digest, usage_root=ROOT
    )
    countersigned = (countersign(receipt, attestor, domain) for attestor in attestors)
    return assemble_proof(receipt, countersigned, of or policy())
