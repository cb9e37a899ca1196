"""What Python signs, the contract takes; what Python names, the contract names alike."""

from datetime import timedelta

from molt_market.attestation.receipts import assemble_proof, countersign, issue_receipt
from molt_market.attestation.usage import UsageLog
from molt_market.chain.reader import ACCOUNTS_AT
from molt_market.domain.deals import DealStatus
from molt_market.domain.ids import EscrowId, Hash32
from molt_market.signing.hashes import policy_id, policy_message, terms_message
from molt_market.signing.statements import sign_voucher
from tests.parity.stage import Stage, packed_signatures, terms_tuple
from tests.unit.attestation.deals import policy
from tests.unit.signing.keys import AGENT, ATTESTORS, BUYER


def test_domain__is_the_contracts(stage: Stage) -> None:
    _, name, version, chain_id, contract, salt, extensions = stage.escrow.functions.eip712Domain().call()
    assert stage.domain.as_dict() == {
        "name": name,
        "version": version,
        "chainId": chain_id,
        "verifyingContract": contract,
    }
    assert (salt, extensions) == (bytes(32), [])


def test_accounts__are_where_the_reader_looks(stage: Stage) -> None:
    """So that a check can be asked for balances that are still to come."""
    assert stage.storage["_accounts"] == ACCOUNTS_AT


def test_permit__deposits(stage: Stage) -> None:
    before = stage.escrow.functions.accountOf(BUYER.address).call().balance
    stage.fund(BUYER, 7)
    assert stage.escrow.functions.accountOf(BUYER.address).call().balance == before + 7


def test_policy__is_known_by_its_id(stage: Stage) -> None:
    stage.register(policy())
    found = stage.escrow.functions.policyOf(policy_id(policy())).call()
    assert tuple(found)[:-1] == policy_message(policy()).as_tuple()[:-1]
    assert Hash32.of(found.attestorsHash) == policy_message(policy()).attestors_hash


def test_deal__has_our_id_and_terms(stage: Stage) -> None:
    stage.register(policy())
    deal, receipt = stage.open(policy())
    [opened] = stage.escrow.events.DealOpened().process_receipt(receipt)
    assert EscrowId.of(opened["args"]["dealId"]) == deal.id
    names = [field.name for field in terms_message(deal.terms)._layout.fields]
    said = [opened["args"][name] for name in names]
    assert [Hash32.of(value) if isinstance(value, bytes) else value for value in said] == list(
        terms_tuple(deal)
    )
    assert deal.status == DealStatus.LOCKED


def test_voucher__is_taken(stage: Stage) -> None:
    stage.register(policy())
    deal, _ = stage.open(policy())
    voucher = sign_voucher(deal.id, 3_600, BUYER, stage.domain)
    stage.send(stage.escrow.functions.release(terms_tuple(deal), voucher.gpu_seconds, voucher.signature))
    assert stage.deal(deal.terms).paid_gpu_seconds == 3_600


def test_proof__is_taken(stage: Stage) -> None:
    stage.register(policy())
    deal, _ = stage.open(policy())
    receipt = issue_receipt(
        UsageLog(deal.id), 240, AGENT, stage.domain, result_digest=Hash32("0x" + "d0" * 32)
    )
    attested = (countersign(receipt, attestor, stage.domain) for attestor in ATTESTORS)
    proof = assemble_proof(receipt, attested, policy())
    stage.warp(deal, timedelta(seconds=60))
    stage.send(
        stage.escrow.functions.claim(
            terms_tuple(deal),
            receipt.gpu_seconds,
            receipt.result_digest,
            receipt.usage_root,
            receipt.signature,
            proof.attestors,
            packed_signatures(proof),
        )
    )
    claimed = stage.deal(deal.terms)
    assert (claimed.status, claimed.claimed_gpu_seconds) == (DealStatus.CLAIMED, 240)
