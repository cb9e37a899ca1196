"""A second opinion on the money: plain JSON-RPC and plain integers, sharing no code with the package."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any

BALANCE_OF = "0x70a08231"  # first four bytes of keccak256("balanceOf(address)")
SECONDS_PER_HOUR = 3_600
BPS = 10_000


class Auditor:
    """Asks the node itself for balances of one token, and for gas."""

    def __init__(self, rpc_url: str, token: str) -> None:
        self._rpc_url = rpc_url
        self._token = token

    def balances(self, accounts: dict[str, str]) -> dict[str, int]:
        """Return base units by the name of the account."""
        return {name: self._balance(address) for name, address in accounts.items()}

    def gas_used(self, transaction: str) -> int:
        """Return what a mined transaction used, intrinsic gas included."""
        return int(self._request("eth_getTransactionReceipt", transaction)["gasUsed"], 16)

    def _balance(self, address: str) -> int:
        data = BALANCE_OF + address.removeprefix("0x").lower().rjust(64, "0")
        return int(self._request("eth_call", {"to": self._token, "data": data}, "latest"), 16)

    def _request(self, method: str, *params: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        connection = http.client.HTTPConnection(self._rpc_url.removeprefix("http://"), timeout=30)
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return json.load(connection.getresponse())["result"]


@dataclass(frozen=True)
class Agreed:
    """What two parties agreed on: prices in base units, usage in GPU-seconds.

    `deliverable` is what could be delivered (less than was allocated after a stop), `tolerated` what may be
    missing of it before the bond suffers.
    """

    buyer: str
    provider: str
    price_per_gpu_hour: int
    allocated: int
    deliverable: int
    tolerated: int
    bond_bps: int

    def due(self, units: int) -> int:
        return units * self.price_per_gpu_hour // SECONDS_PER_HOUR

    @property
    def bond(self) -> int:
        return self.due(self.allocated) * self.bond_bps // BPS

    def earned(self, units: int) -> int:
        """Return the part of the bond that so much delivery earns back."""
        whole = units > 0 and units + self.tolerated >= self.deliverable
        return self.bond if whole else self.bond * units // self.deliverable


@dataclass
class Ledger:
    """What every account should have gained or lost, worked out by hand from what was agreed and happened."""

    fee_bps: int
    fee_account: str
    changes: dict[str, int] = field(default_factory=dict)

    def held(self, account: str, units: int) -> None:
        """The escrow held this much for an account from the start, and gives it back in the end."""
        self.move("escrow", account, units)

    def paid(self, deal: Agreed, units: int) -> None:
        """The buyer paid for so much: the provider gets that less the fee."""
        fee = deal.due(units) * self.fee_bps // BPS
        self.move(deal.buyer, deal.provider, deal.due(units) - fee)
        self.move(deal.buyer, self.fee_account, fee)

    def delivered(self, deal: Agreed, units: int) -> None:
        """The deal ended at so much without a dispute: what the bond did not earn goes to the buyer."""
        self.paid(deal, units)
        self.move(deal.provider, deal.buyer, deal.bond - deal.earned(units))

    def disputed(  # noqa: PLR0917 - one figure for each thing that was said
        self,
        deal: Agreed,
        counter: int,
        claim: int,
        ruling: int,
        arbiter: str,
        share_bps: int,
        *,
        attested: bool,
    ) -> None:
        """The deal ended by a ruling (or concession, or default: share 0) between counter and claim."""
        self.paid(deal, ruling)
        self.move(deal.provider, deal.buyer, deal.bond - deal.earned(claim))
        stake = deal.earned(claim) - deal.earned(counter)
        pot = stake * (2 if attested else 1)
        share = pot * share_bps // BPS
        won = (pot - share) * (deal.earned(ruling) - deal.earned(counter)) // stake if stake else 0
        self.move(deal.provider, "pot", stake)
        self.move(deal.buyer, "pot", pot - stake)
        self.move("pot", arbiter, share)
        self.move("pot", deal.provider, won)
        self.move("pot", deal.buyer, pot - share - won)

    def move(self, source: str, target: str, units: int) -> None:
        self.changes[source] = self.changes.get(source, 0) - units
        self.changes[target] = self.changes.get(target, 0) + units

    def unaccounted(self, before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
        """Return the accounts whose change is another than it should be, and by how many base units."""
        wrong = {name: after[name] - before[name] - self.changes.get(name, 0) for name in before}
        if sum(after.values()) != sum(before.values()):
            wrong["all accounts together"] = sum(after.values()) - sum(before.values())
        return {name: units for name, units in wrong.items() if units}
