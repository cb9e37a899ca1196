"""Panels: contracts that rule as an arbiter when enough of their members signed the same."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from molt_market.chain.artefacts import artefact
from molt_market.chain.client import MoltClient
from molt_market.chain.interface import interface
from molt_market.chain.networks import Network
from molt_market.chain.node import Node
from molt_market.chain.plans import PanelSpec
from molt_market.chain.transactions import Transactions
from molt_market.domain.ids import Address
from molt_market.domain.transactions import Call, TransactionReceipt
from molt_market.errors import DeploymentMismatch, InvalidValue
from molt_market.signing.wallet import TransactionSigner

PANEL = interface("PanelArbiter")


def deploy_panel(
    network: Network,
    wallet: TransactionSigner,
    members: Collection[Address],
    threshold: int,
    *,
    rpc_url: str | None = None,
) -> Address:
    """Deploy a panel of these members, `threshold` of whom rule; return what a policy names as its arbiter.

    Nobody can change it afterwards, and `wallet`, which pays for it, has no right over it.

    Raises:
        InvalidValue: a member is named twice, or there are too many or too few for the threshold.
        NodeUnreachable, WrongChain, InsufficientGas: nothing was deployed.
    """
    values = PanelSpec(tuple(members), threshold).values
    node = Node(network.node_address(rpc_url))
    node.require_chain(network.chain_id)
    transactions = Transactions(node, network.chain_id, confirmations=network.confirmations)
    code = artefact("PanelArbiter").creation_code + PANEL.encode_constructor(*values)
    created = transactions.send(Call(None, code), wallet).created
    if created is None:
        raise InvalidValue("the transaction created no contract: ask another node")
    return created


class Panel:
    """One panel, beside the escrow that a client sees.

    Raises:
        DeploymentMismatch: the code at the address is no PanelArbiter of this version.
    """

    def __init__(self, client: MoltClient, address: Address) -> None:
        if not artefact("PanelArbiter").is_code(client.node.code(address)):
            raise DeploymentMismatch(f"there is no PanelArbiter at {address}: correct the address")
        self._client = client
        self.address = address

    @property
    def members(self) -> tuple[Address, ...]:
        """Who may rule, ascending."""
        return tuple(map(Address, self._ask("members")))

    @property
    def threshold(self) -> int:
        """How many members have to rule alike."""
        return int(self._ask("threshold"))

    def request_shares(self) -> TransactionReceipt:
        """Mark the panel's shares of stakes for withdrawal after the escrow's delay. Anyone may.

        Raises:
            CallReverted: there are none in the escrow (NoShares), or they are marked already (SharesPending).
        """
        return self._client.send(self._client.calls.request_shares(self.address))

    def withdraw_shares(self) -> TransactionReceipt:
        """Pay the shares that are marked, and what else the panel holds, to the members in equal parts.

        Anyone may; dust waits for the next time. Raises TooEarly if the delay of marked shares is not over.
        """
        return self._client.send(self._client.calls.withdraw_shares(self.address))

    def _ask(self, function: str) -> Any:
        call = Call(self.address, PANEL.encode(function))
        return PANEL.decode(function, self._client.node.call(call))[0]
