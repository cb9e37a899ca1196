"""An escrow on the chain with accounts, policies and deals, set up by what Python signs."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from web3 import Web3
from web3.contract import Contract
from web3.types import RPCEndpoint

from molt_market.domain.deals import DealStatus, EscrowAccount
from molt_market.domain.fields import moment, seconds
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import ExecutionProof
from molt_market.domain.terms import Terms
from molt_market.signing.hashes import (
    deal_id,
    offer_message,
    order_message,
    policy_id,
    policy_message,
    terms_message,
    terms_of,
)
from molt_market.signing.signers import LocalSigner, compact
from molt_market.signing.statements import SignedPermit, sign_offer, sign_order, sign_permit
from molt_market.signing.typed_data import Domain, TokenDomain
from tests.factories import make_escrow, make_offer, make_order
from tests.unit.signing.keys import AGENT, BUYER, PROVIDER

NEVER = 2**40 - 1


@dataclass
class Stage:
    chain: Web3
    token: Contract
    escrow: Contract
    storage: dict[str, int]  # where the escrow keeps each of its variables
    slot: int = 0

    @property
    def domain(self) -> Domain:
        return Domain(self.chain.eth.chain_id, self.escrow.address)

    def permit(self, owner: LocalSigner, value: int) -> SignedPermit:
        nonce = self.token.functions.nonces(owner.address).call()
        where = TokenDomain(self.chain.eth.chain_id, self.token.address, "Molt")
        spender = Address(self.escrow.address)
        return sign_permit(owner, where, spender=spender, value=value, nonce=nonce, deadline=NEVER)

    def fund(self, owner: LocalSigner, value: int) -> None:
        """Deposit by permit: the owner sends nothing himself."""
        permit = self.permit(owner, value)
        self.send(self.token.functions.mint(owner.address, value))
        self.send(
            self.escrow.functions.depositWithPermit(
                permit.owner, permit.value, permit.deadline, permit.v, permit.r, permit.s
            )
        )

    def register(self, policy: Policy) -> None:
        self.send(self.escrow.functions.registerPolicy(policy_message(policy).as_tuple(), policy.attestors))

    def open(self, policy: Policy) -> tuple[EscrowAccount, Any]:
        """Open a deal of 4 GPUs for 8 hours; return it and its receipt."""
        self.slot += 1
        now = moment(self.chain.eth.get_block("latest")["timestamp"])
        terms_given = {"policy_id": policy_id(policy), "created_at": now, "slot": self.slot << 7}
        offer = sign_offer(
            make_offer(provider_id=PROVIDER.address, agent=AGENT.address, **terms_given),
            PROVIDER,
            self.domain,
        )
        order = make_order(buyer_id=BUYER.address, voucher_signer=BUYER.address, **terms_given)
        order = sign_order(order, BUYER, self.domain, offer)
        match = (
            offer_message(offer).as_tuple(),
            order_message(order).as_tuple(),
            offer.signature,
            order.signature,
        )
        receipt = self.send(self.escrow.functions.open(match))
        return self.deal(terms_of(offer, order, self.domain)), receipt

    def deal(self, terms: Terms) -> EscrowAccount:
        """Read a deal as the chain has it."""
        id_ = deal_id(terms, self.domain)
        found = self.escrow.functions.dealOf(id_).call()
        return make_escrow(
            id=EscrowId(id_),
            terms=terms,
            status=DealStatus(found.status),
            fee_bps=found.feeBps,
            bond_bps=found.bondBps,
            notice_minutes=found.noticeMinutes,
            opened_at=moment(found.openedAt),
            ends_at=moment(found.endsAt),
            locked_until=moment(found.deadline),
            paid_gpu_seconds=found.paid,
            claimed_gpu_seconds=found.claim,
        )

    def send(self, call: Any) -> Any:
        receipt = self.chain.eth.wait_for_transaction_receipt(call.transact())
        assert receipt["status"] == 1
        return receipt

    def warp(self, deal: EscrowAccount, after: timedelta) -> None:
        """Mine a block of a time after the opening of a deal."""
        assert deal.opened_at is not None
        self.rpc("evm_setNextBlockTimestamp", seconds(deal.opened_at + after))
        self.rpc("evm_mine")

    def rpc(self, method: str, *params: Any) -> Any:
        return self.chain.provider.make_request(RPCEndpoint(method), list(params))


def terms_tuple(deal: EscrowAccount) -> tuple[Any, ...]:
    return terms_message(deal.terms).as_tuple()


def packed_signatures(proof: ExecutionProof) -> str:
    """Write the attestors' signatures as `claim` takes them: 64 bytes each, one after the other."""
    return "0x" + "".join(compact(attestation.signature)[2:] for attestation in proof.attestations)
