"""A market's server that lies: buyer and provider notice before they sign, pay or believe anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from molt_market.domain.amounts import Amount
from molt_market.domain.documents import Document
from molt_market.domain.ids import Hash32, TransactionId
from molt_market.errors import (
    InvalidSignature,
    MarketMismatch,
    MatchMismatch,
    TransactionPending,
    UnsignedOffer,
    WrongSigner,
)
from molt_market.sdk import party as party_module
from molt_market.sdk.api import MarketApi
from molt_market.sdk.buyer import Buyer
from molt_market.sdk.provider import Provider
from molt_market.signing.statements import sign_offer, sign_voucher
from molt_market.testing import Devnet
from tests.integration.test_service import make_offer, make_order
from tests.service import serving


@pytest.fixture
def url(net: Devnet, tmp_path: Path) -> Iterator[str]:
    with serving(net, tmp_path, upkeep=True, policies=[net.policy_id]) as (url, _):
        yield url


@pytest.fixture
def provider(net: Devnet, url: str) -> Iterator[Provider]:
    with Provider(url, net.provider, rpc_url=net.url, deployment=net.deployment) as party:
        yield party


@pytest.fixture
def buyer(net: Devnet, url: str) -> Iterator[Buyer]:
    with Buyer(url, net.buyer, rpc_url=net.url, deployment=net.deployment) as party:
        yield party


def lie(party: Any, monkeypatch: pytest.MonkeyPatch, method: str, **changed: Any) -> None:
    """Let the server's answers of one method have other values in their last part."""
    honest = getattr(party.api, method)

    def lying(*arguments: Any, **named: Any) -> Any:
        return [each.model_copy(update=changed) for each in honest(*arguments, **named)]

    monkeypatch.setattr(party.api, method, lying)


def test_market__of_another_contract__is_refused(
    net: Devnet, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MarketApi(url) as api:
        told = api.market().model_copy(update={"escrow": net.stranger.address})
        monkeypatch.setattr(api, "market", lambda: told)
        with pytest.raises(MarketMismatch):
            Buyer(api, net.buyer, rpc_url=net.url, deployment=net.deployment)


def test_match__cheaper_than_its_provider_signed__is_refused(
    provider: Provider, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = provider.offer(make_offer(provider))
    cheaper = offer.model_copy(update={"price_per_hour": buyer.client.token.amount(1)})
    lie(buyer, monkeypatch, "match", offer=cheaper)
    with pytest.raises(InvalidSignature):
        buyer.match(make_order(buyer))


def test_match__that_nobody_signed__is_refused(
    provider: Provider, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = provider.offer(make_offer(provider))
    lie(buyer, monkeypatch, "match", offer=offer.model_copy(update={"signature": None}))
    with pytest.raises(UnsignedOffer):
        buyer.match(make_order(buyer))


@pytest.mark.parametrize("wrong", ["price", "model", "gpus"])
def test_match__that_does_not_fit__is_refused_before_anything_is_signed(
    net: Devnet, provider: Provider, buyer: Buyer, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """Its provider has signed it, and would be paid more than the order allows, or for something else."""
    good = provider.offer(make_offer(provider))
    gpus, dear = good.gpu_capacity, Amount(10**9 * good.price_per_hour.base_units, good.price_per_hour.token)
    choices: dict[str, dict[str, Any]] = {
        "price": {"price_per_hour": dear},
        "model": {"gpu_capacity": gpus.model_copy(update={"gpu_model": "A100"})},
        "gpus": {"gpu_capacity": gpus.model_copy(update={"gpu_count": 1})},
    }
    bad = sign_offer(good.model_copy(update=choices[wrong]), net.provider, net.domain)
    order = make_order(buyer)
    needs = order.requirements.model_copy(update={"required_models": ("H100",)})
    order = order.model_copy(update={"requirements": needs})
    [match] = buyer.match(order)
    lie(buyer, monkeypatch, "match", offer=bad)
    before = buyer.client.transactions.used_nonces(net.buyer.address)
    with pytest.raises(MatchMismatch, match=wrong):
        buyer.match(order)
    with pytest.raises(MatchMismatch, match=wrong):
        buyer.open(type(match).of(bad, match.order))
    assert buyer.client.transactions.used_nonces(net.buyer.address) == before


def test_vouchers__that_the_buyer_did_not_sign__are_refused(
    net: Devnet, provider: Provider, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.offer(make_offer(provider))
    escrow = buyer.open(buyer.match(make_order(buyer))[0])
    voucher = buyer.release(escrow, 3_600)
    forged = sign_voucher(escrow.id, 3_600, net.stranger, net.domain)
    for wrong in (forged, voucher.model_copy(update={"gpu_seconds": 7_200})):
        with monkeypatch.context() as patch:
            lie(provider, patch, "documents", document=Document(voucher=wrong))
            with pytest.raises(WrongSigner):
                provider.redeem(escrow.id)
    assert provider.redeem(escrow.id).provider_payment > buyer.client.token.amount(0)


def test_cancel__said_to_be_on_the_chain__counts_when_it_is_there(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = provider.offer(make_offer(provider))
    monkeypatch.setattr(party_module, "CHAIN_SECONDS", 0.5)
    monkeypatch.setattr(provider.api, "relay", lambda *_: TransactionId(Hash32("0x" + "12" * 32)))
    with pytest.raises(TransactionPending):
        provider.cancel(offer, relayed=True)
