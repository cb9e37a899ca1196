"""A process that follows a log block by block until it is at the end, or killed: URL DATABASE DEPLOYMENT."""

from __future__ import annotations

import sys
from pathlib import Path

from molt_market.chain.client import MoltClient
from molt_market.chain.log import EscrowLog
from molt_market.chain.networks import Network
from molt_market.indexer.follower import Follower
from molt_market.storage.database import Database
from molt_market.storage.facts import SqlFacts


def main(url: str, database: str, file: str) -> None:
    network = Network("local", Network.LOCAL.chain_id, url)
    client = MoltClient(network, deployment=Path(file))
    escrow = client.deployment.escrow
    facts = SqlFacts(Database(database), f"{client.chain_name()}:{escrow}")
    follower = Follower([EscrowLog(client.node, escrow)], facts, domain=client.domain, span=1)
    follower.advance()


if __name__ == "__main__":
    main(*sys.argv[1:])
