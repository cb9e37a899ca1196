"""Who plays in the demo, what they offer and what they ask for."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from molt_market import Amount, CapacityOffer, GpuCapacity, JobOrder, JobRequirements, Location, Wallet
from molt_market.testing import Devnet

OFFERS = Path(__file__).with_name("offers.csv")
HOURS = 24


@dataclass(frozen=True)
class Cast:
    """The wallets of a local chain by role: buyer-1, provider-2, ..., platform."""

    net: Devnet
    wallets: dict[str, Wallet] = field(init=False)

    def __post_init__(self) -> None:
        net = self.net
        named = {"platform": net.fee_recipient, "arbiter": net.arbiter, "stranger": net.stranger}
        for role, wallets in (
            ("buyer", net.buyers),
            ("provider", net.providers),
            ("agent", net.agents),
            ("attestor", net.attestors),
            ("panel-member", net.panel_members),
        ):
            named |= {f"{role}-{number}": wallet for number, wallet in enumerate(wallets, start=1)}
        object.__setattr__(self, "wallets", named)

    def __getitem__(self, role: str) -> Wallet:
        return self.wallets[role]

    def all(self, kind: str) -> list[str]:
        """Return the roles of a kind: all("buyer") is buyer-1, buyer-2, ..."""
        return [role for role in self.wallets if role.startswith(kind)]

    def name(self, address: str) -> str:
        """Return the role that has an address."""
        return next((role for role, wallet in self.wallets.items() if wallet.address == address), address)


def offers(cast: Cast) -> list[CapacityOffer]:
    """Return the offers of the list, not signed yet; each has a slot (a pool of GPUs) of its own.

    Disputes about provider-1's deals go to a panel, all others to one arbiter.
    """
    lines = (line for line in OFFERS.read_text("utf-8").splitlines() if not line.startswith("#"))
    return [
        CapacityOffer(
            provider_id=cast[row["provider"]].address,
            gpu_capacity=GpuCapacity(
                gpu_count=int(row["gpu_count"]), gpu_model=row["gpu_model"], vram_gb=int(row["vram_gb"])
            ),
            price_per_hour=Amount.from_molt(row["price_per_gpu_hour"]),
            available_hours=168,
            location=Location(country=row["country"]),
            agent=cast[row["provider"].replace("provider", "agent")].address,
            slot=slot,
            policy_id=cast.net.panel_policy_id if row["provider"] == "provider-1" else cast.net.policy_id,
        )
        for slot, row in enumerate(csv.DictReader(lines))
    ]


# The orders by how their deals will end: buyer, GPUs, VRAM of each from, models, and the limit price.
JOBS = {
    "confirmed": ("buyer-1", 6, 80, "H100", "2.50"),
    "attested": ("buyer-2", 4, 141, "H200", "3"),
    "vouchers while it runs": ("buyer-3", 2, 40, "L40", "1.20"),
    "stopped at once": ("buyer-1", 2, 80, "A100", "2"),
    "stopped after 6 h": ("buyer-2", 2, 80, "A100", "2"),
    "cancelled at once": ("buyer-3", 1, 80, "A100", "2"),
    "cancelled after 6 h": ("buyer-1", 2, 48, "L40S", "1.20"),
    "no-show": ("buyer-2", 2, 80, "H100", "2.50"),
    "never claimed": ("buyer-3", 2, 80, "H100", "2.50"),
    "ruled by a panel": ("buyer-1", 4, 141, "H200", "3"),
    "conceded": ("buyer-2", 2, 180, "B200", "5"),
    "silent arbiter": ("buyer-3", 2, 80, "A100", "2"),
    "unattested": ("buyer-1", 2, 48, "L40S", "1.20"),
    "split": ("buyer-2", 2, 48, "L40", "1.20"),
    "repriced": ("buyer-3", 4, 180, "B200", "5"),
}
OVER_TWO = ("buyer-3", 10, 80, "H100", "3")  # one need, more than any provider has left
IN_VAIN = ("buyer-1", 8, 141, "H100", "2.20")  # nobody has that


def order(cast: Cast, job: tuple[str, int, int, str, str], slot: int | None) -> JobOrder:
    """Return the order of a job, in a slot of its buyer's (None: the next one that is free)."""
    buyer, gpus, vram_gb, model, limit = job
    return JobOrder(
        buyer_id=cast[buyer].address,
        slot=slot,
        requirements=JobRequirements(
            min_gpu_count=gpus,
            min_vram_gb=vram_gb,
            required_models=(model,),
            max_price_per_hour=Amount.from_molt(limit),
            estimated_hours=HOURS,
        ),
    )
