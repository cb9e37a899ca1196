"""A seeded market for the matcher's benchmark: offers as columns, and questions to it.

Models, prices and sizes are those of 98 offers of GPU clouds in the public SkyPilot catalogue (v8, the
tables of Vast and Prime Intellect, 2026): the median USD per GPU-hour of each model, how often it is
offered, the shares of sizes. The spread of prices, places, hours and features are assumed; so are the
models of no offer there (frequency 0.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from molt_market.domain.amounts import MOLT, Amount
from molt_market.domain.gpus import GpuCapacity, Location, features_from_bits
from molt_market.domain.ids import Hash32, OfferId, PartyId
from molt_market.domain.offers import CapacityOffer
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.listing import Listing, Pool

SEED = 20_260_401
NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
NANO = 10**9  # base units: the rivals count prices in so many, which fit into 64 bits
HUGE = 1_000 * NANO  # a price limit above every price, in nanos

HBM, FP8 = 8, 4  # bits of features that go by the model

# model: median price in thousandths of a USD, how often it is offered, GB, features, whether it comes in
# clusters
MODELS: tuple[tuple[str, int, float, tuple[int, ...], int, bool], ...] = (
    ("H100", 2_059, 16, (80,), HBM | FP8, True),
    ("A100", 1_118, 14, (40, 80), HBM, True),
    ("RTX4090", 395, 13, (24, 48), FP8, False),
    ("RTX5090", 468, 11, (32,), FP8, False),
    ("H200", 2_619, 10, (140, 141), HBM | FP8, True),
    ("L40S", 600, 7, (45, 48), FP8, False),
    ("B200", 4_705, 3, (179, 180), HBM | FP8, True),
    ("RTXA2000", 666, 3, (6,), 0, False),
    ("H100-NVL", 2_173, 2, (94,), HBM | FP8, True),
    ("RTX3090", 166, 2, (24,), 0, False),
    ("RTXA6000", 425, 2, (48,), 0, False),
    ("A40", 668, 2, (45,), 0, False),
    ("RTX3070", 480, 2, (8,), 0, False),
    ("L40", 1_000, 2, (48,), FP8, False),
    ("RTX6000-Ada", 370, 1, (48,), FP8, False),
    ("RTXPRO6000S", 1_130, 1, (96,), FP8, False),
    ("RTX4070S-Ti", 180, 1, (16,), FP8, False),
    ("A100-PCIE", 870, 1, (80,), HBM, False),
    ("V100", 106, 1, (16,), HBM, True),
    ("RTX3080", 93, 1, (10,), 0, False),
    ("RTX4060-Ti", 130, 1, (16,), FP8, False),
    ("RTX3060", 270, 1, (12,), 0, False),
    ("RTX3060-Ti", 100, 1, (8,), 0, False),
    ("GB200", 6_000, 0.5, (186,), HBM | FP8, True),
    ("B300", 5_500, 0.5, (288,), HBM | FP8, True),
    ("GH200", 2_300, 0.5, (96,), HBM | FP8, True),
    ("L4", 350, 0.5, (24,), FP8, False),
    ("T4", 150, 0.5, (16,), 0, False),
    ("A10", 300, 0.5, (24,), 0, False),
    ("RTX4080", 250, 0.5, (16,), FP8, False),
)
SPREAD = 0.35  # standard deviation of the logarithm of prices of one model
REGIONS, COUNTRIES = 40, 18
SIZES, SIZE_SHARES = (1, 2, 4, 8, 16), (28, 24, 17, 27, 1)
POLICIES = [Hash32(f"0x{each:064x}") for each in range(1, 5)]


@dataclass(frozen=True)
class Offers:
    """Columns of equal length. Prices are nanos per GPU-hour, times Unix seconds; policy 0 is none."""

    price: Any
    model: Any
    gpus: Any
    free: Any
    vram: Any
    features: Any
    region: Any
    country: Any
    available: Any
    commitment: Any
    policy: Any
    provider: Any
    created: Any
    expires: Any

    def __len__(self) -> int:
        return len(self.price)

    def columns(self) -> dict[str, Any]:
        return {"id": np.arange(len(self)), **vars(self)}


def offers(count: int) -> Offers:
    """Make offers: a tenth are taken, one in fifty has expired."""
    dice = np.random.default_rng(SEED)
    weights = np.array([each[2] for each in MODELS])
    model = dice.choice(len(MODELS), count, p=weights / weights.sum())
    medians = np.array([each[1] for each in MODELS])[model] * (NANO // 1_000)
    gpus = dice.choice(SIZES, count, p=np.array(SIZE_SHARES) / sum(SIZE_SHARES))
    region = dice.choice(REGIONS, count, p=_skewed(REGIONS))
    available = dice.choice([24, 72, 168, 720, 8_760], count)
    now = int(NOW.timestamp())
    created = now - dice.integers(0, 30 * 86_400, count)
    gone = dice.random(count) < 0.02
    return Offers(
        price=np.rint(medians * np.exp(dice.normal(0, SPREAD, count))).astype(np.int64),
        model=model,
        gpus=gpus,
        free=np.where(dice.random(count) < 0.1, 0, gpus),
        vram=np.where(
            dice.random(count) < 0.5, *np.array([(each[3][0], each[3][-1]) for each in MODELS])[model].T
        ),
        features=_features(dice, model),
        region=region,
        country=region % COUNTRIES,
        available=available,
        commitment=np.minimum(dice.choice([1, 1, 1, 4, 24], count), available),
        policy=dice.choice(5, count, p=[0.1, 0.6, 0.1, 0.1, 0.1]),
        provider=dice.integers(0, max(count // 20, 1), count),
        created=created,
        expires=np.where(
            gone, created + (now - created) // 2 + 1, now + dice.integers(60, 7 * 86_400, count)
        ),
    )


def _skewed(count: int) -> Any:
    """Return shares that fall as 1, 1/2, 1/3, ..."""
    shares = 1 / np.arange(1, count + 1)
    return shares / shares.sum()


def _features(dice: Any, model: Any) -> Any:
    fixed = np.array([each[4] for each in MODELS])[model]
    clustered = np.array([each[5] for each in MODELS])[model]
    nvlink = (dice.random(len(model)) < 0.8) & clustered
    infiniband = (dice.random(len(model)) < 0.4) & clustered
    dedicated = dice.random(len(model)) < np.where(clustered, 0.15, 0.05)
    return fixed | nvlink * 1 | infiniband * 2 | dedicated * 16


def listings(table: Offers) -> list[Listing]:
    """Make the order book's listings, each with an offer as pydantic holds it and a slot of its own."""
    return [_listing(row) for row in _rows(table)]


def _rows(table: Offers) -> Iterator[dict[str, Any]]:
    columns = {name: column.tolist() for name, column in table.columns().items()}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _listing(row: dict[str, Any]) -> Listing:
    """Build without validation, which would take most of the time that a benchmark has."""
    capacity = GpuCapacity.model_construct(
        gpu_count=row["gpus"], gpu_model=MODELS[row["model"]][0], vram_gb=row["vram"]
    )
    offer = CapacityOffer.model_construct(
        id=offer_id(row["id"]),
        provider_id=PartyId(f"provider-{row['provider']}"),
        gpu_capacity=capacity,
        price_per_hour=Amount(row["price"] * NANO),
        available_hours=row["available"],
        min_commitment_hours=row["commitment"],
        created_at=datetime.fromtimestamp(row["created"], UTC),
        expires_at=datetime.fromtimestamp(row["expires"], UTC),
        features=features_from_bits(row["features"]),
        location=LOCATIONS[row["region"]],
        policy_id=POLICIES[row["policy"] - 1] if row["policy"] else None,
        slot=row["id"],
    )
    pool = Pool()
    pool.held = row["gpus"] - row["free"]
    return Listing.of(offer, pool, None)


def offer_id(number: int) -> OfferId:
    return OfferId(f"offer-{number:07d}")


LOCATIONS = [
    Location(region=f"region-{each}", country=chr(65 + each % COUNTRIES) * 2) for each in range(REGIONS)
]


# ------------------------------------------------------------------------------------ questions


@dataclass(frozen=True)
class Question:
    """What a buyer asks for, in the rivals' numbers; None or an empty tuple leaves a thing open."""

    limit: int
    budget: int
    gpus: int
    hours: int
    vram: int
    features: int
    region: int | None
    country: int | None
    required: tuple[int, ...]
    preferred: tuple[int, ...]
    policy: int | None

    @property
    def cap(self) -> int:
        """The dearest price, in nanos, that limit and budget allow."""
        return min(self.limit, self.budget // (self.gpus * self.hours))

    def shares(self) -> dict[int, int]:
        """Return the model's share of the score, in millionths, of each preferred model."""
        n = len(self.preferred)
        return {model: (n - rank) * 1_000_000 // n for rank, model in enumerate(self.preferred)}

    def demand(self) -> Demand:
        return Demand(
            now=NOW,
            gpu_count=self.gpus,
            hours=self.hours,
            price_limit=self.limit * NANO,
            budget=self.budget * NANO,
            token=MOLT,
            min_vram_gb=self.vram,
            features=self.features,
            region=None if self.region is None else LOCATIONS[self.region].region,
            country=None if self.country is None else chr(65 + self.country) * 2,
            required_models=frozenset(MODELS[each][0] for each in self.required),
            preferred_models=tuple(MODELS[each][0] for each in self.preferred),
            policy_id=POLICIES[self.policy - 1] if self.policy else None,
        )


def questions(count: int) -> list[Question]:
    """Make questions: two in five for any model, two for one, one for up to four; the budget binds on one
    in seven."""
    dice = np.random.default_rng(SEED + 1)
    return [_question(dice) for _ in range(count)]


def _question(dice: Any) -> Question:
    weights = np.array([each[2] for each in MODELS])
    models = dice.choice(len(MODELS), 4, replace=False, p=weights / weights.sum()).tolist()
    required = tuple(models[: dice.choice([0, 1, dice.integers(2, 5)], p=[0.4, 0.4, 0.2])])
    preferred = tuple((required or tuple(models))[: dice.choice([0, 1, 2], p=[0.6, 0.2, 0.2])])
    dearest = max(MODELS[each][1] for each in required or models)
    limit = int(dearest * float(dice.uniform(0.7, 2.5))) * (NANO // 1_000)
    gpus, hours = int(dice.choice([1, 2, 4, 8], p=[0.4, 0.2, 0.15, 0.25])), int(dice.choice([2, 8, 24, 72]))
    share = float(dice.uniform(0.3, 0.9)) if dice.random() < 0.15 else 1.0
    wanted = [
        bit for bit, often in ((1, 0.08), (2, 0.05), (4, 0.1), (8, 0.15), (16, 0.02)) if dice.random() < often
    ]
    place = dice.random()
    return Question(
        limit=limit,
        budget=int(limit * share) * gpus * hours,
        gpus=gpus,
        hours=hours,
        vram=int(dice.choice([0, 16, 40, 80], p=[0.5, 0.2, 0.2, 0.1])),
        features=sum(wanted),
        region=int(dice.choice(REGIONS, p=_skewed(REGIONS))) if place < 0.2 else None,
        country=int(dice.integers(COUNTRIES)) if 0.2 <= place < 0.4 else None,
        required=required,
        preferred=preferred,
        policy=int(dice.integers(1, 5)) if dice.random() < 0.3 else None,
    )


def hard(asked: Sequence[Question]) -> list[Question]:
    """Make the questions adverse: rare regions and features, many GPUs, any model, and no price that stops
    a search. One in five names the region's country too.

    A country that the region is not in would be easier: the index knows that no offer has both.
    """
    dice = np.random.default_rng(SEED + 2)
    return [_hard(each, dice) for each in asked]


def _hard(asked: Question, dice: Any) -> Question:
    gpus, region = int(dice.choice([8, 16])), int(dice.integers(REGIONS - 8, REGIONS))
    return replace(
        asked,
        limit=HUGE,
        budget=HUGE * gpus * asked.hours,
        gpus=gpus,
        features=int(dice.choice([0, 1, 2, 4, 16, 16 | 1, 16 | 4, 16 | 8])),
        region=region,
        country=region % COUNTRIES if dice.random() < 0.2 else None,
        required=(),
        policy=None,
    )
