"""A process that relays signed requests until it is done, or killed: URL DATABASE DEPLOYMENT REQUESTS."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from molt_market.app import relayer
from molt_market.chain.client import MoltClient
from molt_market.chain.networks import Network
from molt_market.domain.requests import OrdersCancellation
from molt_market.payments.gas import GasPolicy
from molt_market.testing import dev_wallet

STRANGER = 17  # of Anvil's accounts
GAS = GasPolicy(wei_per_token=10**16)


def main(url: str, database: str, file: str, requests: str) -> None:
    network = Network("local", Network.LOCAL.chain_id, url)
    client = MoltClient(network, deployment=Path(file), account=dev_wallet(STRANGER))
    relays = relayer(client, database, GAS)
    for each in json.loads(Path(requests).read_text("utf-8")):
        relays.relay(OrdersCancellation.model_validate(each))


if __name__ == "__main__":
    main(*sys.argv[1:])
