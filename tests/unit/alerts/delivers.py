"""A process that delivers alerts until it is done, or killed: DATABASE DEPLOYMENT."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from molt_market.alerts.courier import Courier, Sources
from molt_market.alerts.webhooks import SendingLimits
from molt_market.storage.alerts import SqlAlerts
from molt_market.storage.database import Database


def main(url: str, deployment: str) -> None:
    sources = Sources(list, dict, lambda: datetime.now(UTC))
    sending = SendingLimits(whole=timedelta(seconds=6), step=timedelta(seconds=3), private=True)
    Courier(sources, SqlAlerts(Database(url), deployment), sending=sending).deliver()


if __name__ == "__main__":
    main(*sys.argv[1:])
