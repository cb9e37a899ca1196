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


@dataclass
class Ledger:
    """What every account should have gained or lost, worked out by hand from what was agreed."""

    fee_bps: int
    fee_account: str
    changes: dict[str, int] = field(default_factory=dict)

    def held(self, account: str, units: int) -> None:
        """The escrow held this much for an account from the start, and gives it back in the end."""
        self._move("escrow", account, units)

    def paid(self, buyer: str, provider: str, price_per_gpu_hour: int, gpu_seconds: int) -> None:
        """A deal paid `gpu_seconds`: the buyer the price, the provider that less the fee."""
        due = gpu_seconds * price_per_gpu_hour // SECONDS_PER_HOUR
        fee = due * self.fee_bps // BPS
        self._move(buyer, provider, due - fee)
        self._move(buyer, self.fee_account, fee)

    def undelivered(self, buyer: str, provider: str, bond: int, *, delivered: int, allocated: int) -> None:
        """The bond's undelivered part goes from the provider to the buyer."""
        self._move(provider, buyer, bond - bond * delivered // allocated)

    def _move(self, source: str, target: str, units: int) -> None:
        self.changes[source] = self.changes.get(source, 0) - units
        self.changes[target] = self.changes.get(target, 0) + units

    def unaccounted(self, before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
        """Return the accounts whose change is another than it should be, and by how many base units."""
        wrong = {name: after[name] - before[name] - self.changes.get(name, 0) for name in before}
        if sum(after.values()) != sum(before.values()):
            wrong["all accounts together"] = sum(after.values()) - sum(before.values())
        return {name: units for name, units in wrong.items() if units}
