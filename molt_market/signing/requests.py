"""Signing and verifying what an account asks for its balance and its groups, so that a relayer may bring it.

Who sends it himself needs none of this. `MoltClient` reads the nonce or cutoff from the chain before it has
one of these signed.
"""

from __future__ import annotations

from datetime import datetime

from molt_market.domain.amounts import Amount
from molt_market.domain.fields import seconds
from molt_market.domain.ids import Address, Hash32
from molt_market.domain.requests import OrdersCancellation, Side, SignedRequest, Withdrawal, WithdrawalRequest
from molt_market.signing import messages
from molt_market.signing.signers import Approvals, Signer, require_signer
from molt_market.signing.typed_data import Domain, Message


def sign_orders_cancellation(
    side: Side, group: int, signer: Signer, domain: Domain, *, cutoff_at: int, until: datetime
) -> OrdersCancellation:
    """Take back the signer's offers (or orders) of a group. `cutoff_at` is the group's on the chain."""
    message = messages.CancelOrders(signer.address, side, group, cutoff_at, seconds(until))
    return OrdersCancellation(
        account=signer.address,
        side=side,
        group=group,
        cutoff_at=cutoff_at,
        until=until,
        signature=signer.sign(message, domain),
    )


def sign_withdrawal_request(
    amount: Amount, signer: Signer, domain: Domain, *, nonce: int, until: datetime
) -> WithdrawalRequest:
    """Mark an amount of the signer's balance for withdrawal. `nonce` is the account's on the chain."""
    message = messages.RequestWithdraw(signer.address, amount.base_units, nonce, seconds(until))
    return WithdrawalRequest(
        account=signer.address,
        amount=amount,
        nonce=nonce,
        until=until,
        signature=signer.sign(message, domain),
    )


def sign_withdrawal(
    to: Address, signer: Signer, domain: Domain, *, nonce: int, until: datetime
) -> Withdrawal:
    """Have the signer's marked amount paid to `to`. `nonce` is the account's on the chain."""
    message = messages.Withdraw(signer.address, to, nonce, seconds(until))
    return Withdrawal(
        account=signer.address, to=to, nonce=nonce, until=until, signature=signer.sign(message, domain)
    )


def verify_request(request: SignedRequest, domain: Domain, approvals: Approvals | None = None) -> Address:
    """Return the account, if it signed the request.

    Raises:
        InvalidSignature: it is nobody's signature of it; WrongSigner says whose it would be.
    """
    return require_signer(_message(request), domain, request.signature, request.account, approvals)


def request_digest(request: SignedRequest, domain: Domain) -> Hash32:
    """Return the digest that the account signed."""
    return Hash32.of(_message(request).digest(domain))


def _message(request: SignedRequest) -> Message:
    account, until = request.account, seconds(request.until)
    match request:
        case OrdersCancellation():
            return messages.CancelOrders(account, request.side, request.group, request.cutoff_at, until)
        case WithdrawalRequest():
            return messages.RequestWithdraw(account, request.amount.base_units, request.nonce, until)
        case Withdrawal():
            return messages.Withdraw(account, request.to, request.nonce, until)
        case _:
            raise TypeError(f"{type(request).__name__} is no request that is signed here")
