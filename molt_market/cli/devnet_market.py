"""What a devnet has of a market: its server, and attestors that sign whatever the agent says."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import TYPE_CHECKING

from molt_market.cli.console import Output
from molt_market.cli.keeper import Work
from molt_market.cli.serve import can_serve
from molt_market.domain.documents import DocumentKind
from molt_market.domain.ids import Address, EscrowId
from molt_market.domain.updates import DocumentPosted, FeedItem
from molt_market.errors import InvalidValue, MoltError, NodeUnreachable, ServerUnreachable
from molt_market.sdk.parties import Attestor
from molt_market.storage.database import Database

if TYPE_CHECKING:
    from molt_market.cli.devnet import Home

LOOK_SECONDS = 0.3


@contextmanager
def listening(port: int) -> Iterator[socket.socket | None]:
    """Listen where the market's server is going to be; None: its packages are not installed.

    Raises InvalidValue if something else listens there.
    """
    if not can_serve():
        yield None
        return
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=128)
    except OSError as error:
        raise InvalidValue(
            f"port {port} cannot be used ({error.strerror}): give another --server-port, or 0 for a free one"
        ) from error
    with listener:
        yield listener


@contextmanager
def serve_market(home: Home, out: Output) -> Iterator[Callable[[], None]]:
    """Run the market's server, with the operator's wallet: it matches the orders that wait."""
    if home.listener is None:
        out.note("no market's server: it needs more packages, pip install 'molt-market[server]'")
        yield lambda: None
        return
    from molt_market.api.run import opened, server_of  # noqa: PLC0415 - only a server has these packages

    net, listener, database = home.net, home.listener, Database(home.database)
    try:
        client = net.client(home.accounts["operator"])
        with opened(client, database, policies=(net.policy_id, net.panel_policy_id)) as opening:
            server = server_of(*opening)
            at_work = Work(lambda _: server.run(sockets=[listener]))
            with at_work.going():
                try:
                    yield at_work.require_alive
                finally:
                    server.should_exit = True
    finally:
        database.close()


@contextmanager
def attest(home: Home, out: Output) -> Iterator[Callable[[], None]]:
    """Countersign each receipt that an agent leaves at the market, if the deal's policy names an attestor."""
    if home.server is None:
        yield lambda: None
        return
    with ExitStack() as parties:
        attestors = {
            wallet.address: parties.enter_context(
                Attestor(home.server, wallet, network=home.net.network, deployment=home.net.deployment)
            )
            for wallet in home.net.attestors
        }
        at_work = Work(Countersigning(attestors, out).run)
        with at_work.going():
            yield at_work.require_alive


class Countersigning:
    """Attestors that look at nothing: what an agent's receipt says, they sign. For a devnet only."""

    def __init__(self, attestors: Mapping[Address, Attestor], out: Output) -> None:
        self._attestors = attestors
        self._any = next(iter(attestors.values()))
        self._out = out
        self._after = 0

    def run(self, stop: Event) -> None:
        """Look again and again, until it is told to stop."""
        while not stop.wait(LOOK_SECONDS):
            try:
                for item in self._any.api.feed(self._after):
                    self._take(item)
                    self._after = item.sequence
            except (ServerUnreachable, NodeUnreachable):
                continue  # from the same step on, at the next look

    def _take(self, item: FeedItem) -> None:
        """Sign what a step of the market asks for. What cannot be signed is told, and left."""
        posted = item.update
        if not isinstance(posted, DocumentPosted) or posted.document is not DocumentKind.RECEIPT:
            return
        if posted.sender in self._attestors:
            return
        try:
            signed = self._sign(posted.deal_id)
        except (ServerUnreachable, NodeUnreachable):
            raise
        except MoltError as error:
            self._out.note(f"not attested, deal {posted.deal_id}: {' '.join(str(error).split())}")
        else:
            self._out.line(f"attested deal {posted.deal_id} by {signed} attestors, unseen", "green")

    def _sign(self, deal_id: EscrowId) -> int:
        """Sign all receipts of a deal's agent. Those that are signed already are kept once there."""
        client = self._any.client
        policy = client.policy(client.escrow(deal_id).terms.policy_id)
        named = [self._attestors[each] for each in policy.attestors if each in self._attestors]
        for receipt in self._any.receipts(deal_id):
            for attestor in named:
                attestor.attest(receipt)
        return len(named)
