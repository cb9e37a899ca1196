"""What is killed: a process that opens deals and settles them, over a journal that it shares with others."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from molt_market.chain.client import MoltClient
from molt_market.chain.deployments import Deployment
from molt_market.chain.networks import Network
from molt_market.domain.matches import OrderMatch
from molt_market.domain.settlement import gpu_seconds
from molt_market.errors import MoltError
from molt_market.payments.fees import FeePolicy
from molt_market.payments.service import PaymentService
from molt_market.signing.statements import sign_voucher
from molt_market.storage.database import Database
from molt_market.storage.journal import SqlJournal
from molt_market.testing import dev_wallet

BUYER = 6  # in the devnet's accounts
THREADS = 6
PATIENCE = timedelta(milliseconds=150)  # until a transaction is replaced
STEPS = ("1", "2", "4")  # hours of 4: the last one closes the deal


@dataclass(frozen=True)
class Work:
    """What a worker is given. All of it is done once, however many workers there are, and die."""

    network: Network
    deployment: Deployment
    database: str
    chain: str
    matches: tuple[OrderMatch, ...]
    seed: int


def payments_of(work: Work, timeout_seconds: float = 30) -> PaymentService:
    client = MoltClient(
        work.network, deployment=work.deployment, account=dev_wallet(BUYER), timeout_seconds=timeout_seconds
    )
    journal = SqlJournal(Database(work.database), work.chain)
    return PaymentService(client, journal=journal, fees=FeePolicy(patience=PATIENCE))


def run(work: Work) -> None:
    """Open and settle all deals; what is refused or fails is tried again until it is done."""
    payments = payments_of(work)
    matches = list(work.matches)
    random.Random(work.seed).shuffle(matches)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda match: _done(payments, match), matches))


def _done(payments: PaymentService, match: OrderMatch) -> None:
    while True:
        try:
            return _settle(payments, match)
        except MoltError:
            time.sleep(0.05)


def _settle(payments: PaymentService, match: OrderMatch) -> None:
    buyer = dev_wallet(BUYER)
    escrow = payments.create_job_escrow(match, buyer)
    for hours in STEPS:
        units = gpu_seconds(hours, escrow.terms.gpu_count)
        payments.redeem(escrow, sign_voucher(escrow.id, units, buyer, payments.client.domain))
