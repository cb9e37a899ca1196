"""The calls of the escrow and its token, encoded. Nothing is asked or sent here."""

from __future__ import annotations

from collections.abc import Sequence

from molt_market.chain.interface import interface
from molt_market.domain.agreements import (
    Concession,
    ProviderCancellation,
    Ruling,
    RulingVote,
    SignedStatement,
    SplitAgreement,
    StopRequest,
    UnattestedClaim,
)
from molt_market.domain.disputes import Dispute
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, Hash32, Signature
from molt_market.domain.offers import CapacityOffer
from molt_market.domain.orders import JobOrder
from molt_market.domain.policies import Policy
from molt_market.domain.proofs import Confirmation, ExecutionProof
from molt_market.domain.requests import OrdersCancellation, Side, SignedRequest, Withdrawal, WithdrawalRequest
from molt_market.domain.roles import Role
from molt_market.domain.terms import Terms
from molt_market.domain.transactions import Call
from molt_market.signing.hashes import offer_message, order_message, policy_message, terms_message
from molt_market.signing.signers import compact
from molt_market.signing.statements import SignedPermit

ESCROW = interface("MoltEscrow")
TOKEN = interface("MoltToken")
PANEL = interface("PanelArbiter")

BY_SENDER = b""  # instead of a signature: who sends the call is who has to sign


class EscrowCalls:
    """Calls of one deployment. Amounts are base units."""

    def __init__(self, escrow: Address, token: Address) -> None:
        self._escrow = escrow
        self._token = token

    # ---------------------------------------------------------------- a deal

    def open(self, offer: CapacityOffer, order: JobOrder) -> Call:
        """Open the deal of a signed offer and a signed order."""
        return self._call("open", match_tuple(offer, order))

    def release(self, terms: Terms, voucher: Confirmation) -> Call:
        return self._call("release", _terms(terms), voucher.gpu_seconds, voucher.signature)

    def claim(self, terms: Terms, proof: ExecutionProof) -> Call:
        receipt = proof.receipt
        signatures = b"".join(compact(each.signature).raw() for each in proof.attestations)
        return self._call(
            "claim",
            _terms(terms),
            receipt.gpu_seconds,
            receipt.result_digest,
            receipt.usage_root,
            receipt.signature,
            proof.attestors,
            signatures,
        )

    def finalize(self, terms: Terms) -> Call:
        return self._call("finalize", _terms(terms))

    # ---------------------------------------------------------------- how it ends otherwise

    def stop(self, terms: Terms, request: StopRequest | None = None) -> Call:
        return self._call("stop", _terms(terms), *_signed(request))

    def cancel_deal(self, terms: Terms, cancellation: ProviderCancellation | None = None) -> Call:
        return self._call("cancelDeal", _terms(terms), *_signed(cancellation))

    def claim_unattested(self, terms: Terms, gpu_seconds: int, claim: UnattestedClaim | None = None) -> Call:
        return self._call("claimUnattested", _terms(terms), gpu_seconds, *_signed(claim))

    def dispute(self, terms: Terms, dispute: Dispute) -> Call:
        counter = dispute.counter(terms)
        return self._call("dispute", _terms(terms), counter, dispute.evidence, *_signed(dispute))

    def concede(self, terms: Terms, gpu_seconds: int, concession: Concession | None = None) -> Call:
        return self._call("concede", _terms(terms), gpu_seconds, *_signed(concession))

    def resolve(self, terms: Terms, gpu_seconds: int, ruling: Ruling | None = None) -> Call:
        return self._call("resolve", _terms(terms), gpu_seconds, *_signed(ruling))

    def settle(self, terms: Terms, agreement: SplitAgreement) -> Call:
        """Close as both agree; the sender's own signature may be missing."""
        return self._call(
            "settle",
            _terms(terms),
            agreement.gpu_seconds,
            seconds(agreement.until),
            agreement.buyer_signature or BY_SENDER,
            agreement.provider_signature or BY_SENDER,
        )

    # ---------------------------------------------------------------- a panel of arbiters

    def rule(self, terms: Terms, votes: Sequence[RulingVote]) -> Call:
        """Bring the ruling that members of a panel signed to its contract. All votes have to be the same."""
        vote = votes[0]
        ascending = sorted(votes, key=lambda each: each.signer.number())
        signatures = b"".join(compact(each.signature).raw() for each in ascending)
        figures = (vote.gpu_seconds, seconds(vote.until))
        return Call(vote.panel, PANEL.encode("rule", self._escrow, _terms(terms), *figures, signatures))

    def request_shares(self, panel: Address) -> Call:
        """Mark all that a panel has in the escrow for withdrawal."""
        return Call(panel, PANEL.encode("requestShares", self._escrow))

    def withdraw_shares(self, panel: Address) -> Call:
        """Withdraw what was marked, in equal parts to the panel's members."""
        return Call(panel, PANEL.encode("withdrawShares", self._escrow, self._token))

    # ---------------------------------------------------------------- money in and out

    def approve(self, amount: int) -> Call:
        """Let the escrow take tokens of the sender."""
        return Call(self._token, TOKEN.encode("approve", self._escrow, amount))

    def mint(self, to: Address, amount: int) -> Call:
        """Take tokens from the faucet of a local or test network."""
        return Call(self._token, TOKEN.encode("mint", to, amount))

    def deposit(self, to: Address, amount: int) -> Call:
        return self._call("deposit", to, amount)

    def deposit_with_permit(self, permit: SignedPermit) -> Call:
        return self._call(
            "depositWithPermit", permit.owner, permit.value, permit.deadline, permit.v, permit.r, permit.s
        )

    def request_withdraw(self, account: Address, amount: int) -> Call:
        return self._call("requestWithdraw", account, amount, 0, BY_SENDER)

    def withdraw(self, account: Address, to: Address) -> Call:
        return self._call("withdraw", account, to, 0, BY_SENDER)

    def relayed(self, request: SignedRequest | SignedPermit) -> Call:
        """Bring what an account signed."""
        if isinstance(request, SignedPermit):
            return self.deposit_with_permit(request)
        account, deadline, signature = request.account, seconds(request.until), request.signature
        match request:
            case OrdersCancellation():
                return self._call("cancel", account, request.side, request.group, deadline, signature)
            case WithdrawalRequest():
                return self._call("requestWithdraw", account, request.amount.base_units, deadline, signature)
            case Withdrawal():
                return self._call("withdraw", account, request.to, deadline, signature)
            case _:
                raise TypeError(f"{type(request).__name__} is no request that the escrow takes")

    # ---------------------------------------------------------------- roles

    def pause(self) -> Call:
        return self._call("pause")

    def unpause(self) -> Call:
        return self._call("unpause")

    def schedule_fee(self, fee_bps: int) -> Call:
        return self._call("scheduleFee", fee_bps)

    def offer_role(self, role: Role, to: Address) -> Call:
        return self._call("offerRole", role, to)

    def accept_role(self, role: Role) -> Call:
        return self._call("acceptRole", role)

    # ---------------------------------------------------------------- before a deal, and many at once

    def approve_digest(self, digest: Hash32) -> Call:
        """Let a digest count as signed by the sender. (`approve` is the token's.)"""
        return self._call("approve", digest)

    def revoke_digest(self, digest: Hash32) -> Call:
        return self._call("revoke", digest)

    def cancel(self, account: Address, side: Side, group: int) -> Call:
        return self._call("cancel", account, side, group, 0, BY_SENDER)

    def register_policy(self, policy: Policy) -> Call:
        return self._call("registerPolicy", policy_message(policy).as_tuple(), policy.attestors)

    def bundle(self, calls: Sequence[Call], *, skip: bool = False) -> Call:
        """Make one call of several of the escrow; with `skip` a refused one does not stop the others."""
        if len(calls) == 1:
            return calls[0]
        return self._call("multicall", [call.data for call in calls], skip)

    def _call(self, function: str, *values: object) -> Call:
        return Call(self._escrow, ESCROW.encode(function, *values))


def match_tuple(offer: CapacityOffer, order: JobOrder) -> tuple[object, ...]:
    """Return the contract's Match: both messages, both signatures; a missing one stays empty."""
    return (
        offer_message(offer).as_tuple(),
        order_message(order).as_tuple(),
        offer.signature or BY_SENDER,
        order.signature or BY_SENDER,
    )


def _signed(statement: SignedStatement | Dispute | None) -> tuple[int, Signature | bytes]:
    """Return deadline and signature of a statement; without one, who sends the call is who has to sign."""
    if statement is None or statement.until is None or statement.signature is None:
        return 0, BY_SENDER
    return seconds(statement.until), statement.signature


def _terms(terms: Terms) -> tuple[object, ...]:
    return terms_message(terms).as_tuple()
