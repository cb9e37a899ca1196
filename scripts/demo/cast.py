"""Who plays in the demo, and what they offer and ask for."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

from molt_market import Amount, CapacityOffer, GpuCapacity, JobOrder, JobRequirements, Location, Wallet
from molt_market.testing import Devnet

OFFERS = Path(__file__).with_name("offers.csv")


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
    """Return the offers of the list, not signed yet; each has a slot (a pool of GPUs) of its own."""
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
            policy_id=cast.net.policy_id,
        )
        for slot, row in enumerate(csv.DictReader(lines))
    ]


def orders(cast: Cast) -> list[JobOrder]:
    """Return the three orders."""
    training = JobRequirements(
        min_gpu_count=8,
        min_vram_gb=80,
        preferred_models=("H100",),
        max_price_per_hour=Amount.from_molt("2.50"),
        estimated_hours=24,
    )
    long_context = JobRequirements(
        min_gpu_count=4,
        min_vram_gb=141,
        required_models=("H200",),
        max_price_per_hour=Amount.from_molt(3),
        estimated_hours=24,
    )
    inference = JobRequirements(
        min_gpu_count=2,
        min_vram_gb=40,
        max_price_per_hour=Amount.from_molt("1.20"),
        estimated_hours=12,
        location=Location(country="CA"),
    )
    needs = (training, long_context, inference)
    return [
        JobOrder(buyer_id=buyer.address, requirements=need)
        for buyer, need in zip(cast.net.buyers, needs, strict=True)
    ]
