"""The market by brute force: what the order book has to answer, in the plainest way there is.

It imports nothing of molt_market (a test reads this file to make sure), keeps dicts in lists, looks at all of
them each time, and calculates with fractions. Slow and obvious on purpose. Times are seconds, money is base
units.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Offer = dict[str, Any]
Order = dict[str, Any]
Answer = tuple[Any, ...]

MOST_RESERVATION_SECONDS = 120
FEATURES = ("NVLINK", "INFINIBAND", "FP8", "HIGH_BANDWIDTH_MEMORY", "DEDICATED_HOST")
PARTS = ("price", "model", "utilization", "bandwidth", "features", "reliability")
FULL_BANDWIDTH = 8_000


class Refusal(Exception):
    """What the market says instead of doing it: the name of the error and its values."""

    def __init__(self, name: str, *values: Any) -> None:
        super().__init__(name, *values)
        self.answer: Answer = (name, *values)


class Market:
    """A book of offers and orders, and the GPUs that are held."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.weights = weights
        self.offers: list[Offer] = []
        self.orders: list[dict[str, Any]] = []  # {"order", "status"}
        self.holds: list[dict[str, Any]] = []  # {"order", "offer", "gpus", "until", "state", "deal"}

    # ------------------------------------------------------------ offers

    def add_offer(self, offer: Offer, now: int) -> None:
        if offer["status"] != "ACTIVE" or any(o["id"] == offer["id"] for o in self.offers):
            raise Refusal("InvalidStateTransition", offer["status"], "ACTIVE")
        if now >= offer["expires"]:
            raise Refusal("Expired")
        self.offers.append(offer)

    def remove_offer(self, offer_id: str) -> None:
        self.offers.remove(self.offer(offer_id))

    def offer(self, offer_id: str) -> Offer:
        found = [o for o in self.offers if o["id"] == offer_id]
        if not found:
            raise Refusal("OfferNotFound", offer_id)
        return found[0]

    def offer_status(self, offer_id: str, now: int) -> str:
        offer = self.offer(offer_id)
        if now >= offer["expires"]:
            return "EXPIRED"
        return "ACTIVE" if self.free(offer, now) else "FILLED"

    def active_offers(self, now: int) -> list[str]:
        return [o["id"] for o in self.offers if self._stands(o, now) and self.free(o, now)]

    # ------------------------------------------------------------ orders

    def submit_order(self, order: Order, now: int) -> None:
        known = [self.status(e, now) for e in self.orders if e["order"]["id"] == order["id"]]
        status = known[0] if known else order["status"]
        if known or status != "PENDING":
            raise Refusal("InvalidStateTransition", status, "PENDING")
        if now >= order["expires"]:
            raise Refusal("Expired")
        self.orders.append({"order": order, "status": "PENDING"})

    def cancel_order(self, order_id: str, now: int) -> None:
        entry = self.entry(order_id)
        status = self.status(entry, now)
        if status not in ("PENDING", "MATCHED"):
            raise Refusal("InvalidStateTransition", status, "CANCELLED")
        for hold in self.holds:
            if hold["order"]["id"] == order_id and hold["state"] == "held":
                hold["state"] = "released"
        entry["status"] = "CANCELLED"

    def entry(self, order_id: str) -> dict[str, Any]:
        found = [e for e in self.orders if e["order"]["id"] == order_id]
        if not found:
            raise Refusal("OrderNotFound", order_id)
        return found[0]

    def status(self, entry: dict[str, Any], now: int) -> str:
        """Say where an order stands: by what was done to it, then by what time has done to it."""
        status: str = entry["status"]
        order = entry["order"]
        holds = [h for h in self.holds if h["order"]["id"] == order["id"] and self._holds_gpus(h, now)]
        if status == "MATCHED" and not holds:
            status = "PENDING"
        if status == "PENDING" and now >= order["expires"]:
            status = "EXPIRED"
        return status

    def pending_orders(self, now: int) -> list[str]:
        return [e["order"]["id"] for e in self.orders if self.status(e, now) == "PENDING"]

    # ------------------------------------------------------------ GPUs

    def held(self, provider: str, slot: int, now: int) -> int:
        return sum(
            h["gpus"]
            for h in self.holds
            if self._holds_gpus(h, now) and (h["offer"]["provider"], h["offer"]["slot"]) == (provider, slot)
        )

    def free(self, offer: Offer, now: int) -> int:
        """Count the GPUs that an offer has left: less those of its slot that somebody holds."""
        return int(max(offer["gpus"] - self.held(offer["provider"], offer["slot"], now), 0))

    def reserve(self, offer: Offer, order: Order, until: int, now: int) -> int:
        """Return the number of the new hold."""
        if not now < until <= now + MOST_RESERVATION_SECONDS:
            raise Refusal("InvalidValue")
        for number, hold in enumerate(self.holds):
            same = all(hold["order"][key] == order[key] for key in ("id", "buyer", "gpus", "hours"))
            same = same and hold["offer"]["id"] == offer["id"]
            if same and hold["state"] == "held" and now < hold["until"]:
                return number
        if self.offer(offer["id"]) != offer:
            raise Refusal("OfferNotFound", offer["id"])
        if now >= offer["expires"]:
            raise Refusal("Expired")
        self._require_open(order, now)
        named = order if offer["hash"] is not None else order | {"offer_hash": None}
        if not self._matches([offer], named, now):
            raise Refusal("InsufficientCapacity", order["gpus"], self.free(offer, now))
        for hold in self.holds:
            ever_used = self._holds_gpus(hold, now) or hold["deal"] is not None
            same_slot = all(hold["order"][key] == order[key] for key in ("buyer", "slot"))
            if ever_used and same_slot and order["slot"] is not None:
                raise Refusal("OrderAlreadyOpened", order["slot"])
        if all(e["order"]["id"] != order["id"] for e in self.orders):
            self.orders.append({"order": order, "status": "PENDING"})
        self.entry(order["id"])["status"] = "MATCHED"
        hold = {"order": order, "offer": offer, "gpus": order["gpus"], "until": until}
        self.holds.append(hold | {"state": "held", "deal": None})
        return len(self.holds) - 1

    def clear(self, until: int, now: int) -> list[Answer]:
        """Reserve the best offer for each order that waits, by time and id; return (order, its match)."""
        waiting = [e["order"] for e in self.orders if self.status(e, now) == "PENDING"]
        done = []
        for order in sorted(waiting, key=lambda order: (order["created"], order["id"])):
            try:
                match = self.match_order(order, now)[0]
                self.reserve(self.offer(match[0]), order, until, now)
            except (Refusal, IndexError):
                continue
            done.append((order["id"], match))
        return done

    def confirm(self, number: int, deal: str, now: int) -> None:
        hold = self.holds[number]
        if hold["deal"] == deal:
            return
        if hold["deal"] is not None or any(h["deal"] == deal for h in self.holds):
            raise Refusal("InvalidStateTransition", "ESCROWED", "ESCROWED")
        if not self._holds_gpus(hold, now):
            raise Refusal("ReservationLapsed" if now >= hold["until"] else "NotReserved")
        hold |= {"state": "deal", "deal": deal}
        self.entry(hold["order"]["id"])["status"] = "ESCROWED"

    def release(self, number: int) -> None:
        hold = self.holds[number]
        if hold["deal"] is not None:
            raise Refusal("InvalidStateTransition", "ESCROWED", "PENDING")
        hold["state"] = "released"

    def free_deal(self, deal: str) -> bool:
        for hold in self.holds:
            if hold["deal"] == deal and hold["state"] == "deal":
                hold["state"] = "freed"
                return True
        return False

    def _holds_gpus(self, hold: dict[str, Any], now: int) -> bool:
        return bool(hold["state"] == "deal" or (hold["state"] == "held" and now < hold["until"]))

    # ------------------------------------------------------------ matching

    def match_order(self, order: Order, now: int) -> list[Answer]:
        """Return (offer, total, score, parts) of every offer that fits, the best first."""
        self._require_open(order, now)
        return self._matches(self.offers, order, now)

    def best_offers(self, needs: Order, limit: int, now: int) -> list[str]:
        """Return what fits these needs, whoever asks, the best first."""
        anyone = needs | {
            "buyer": None,
            "voucher_signer": None,
            "policy": None,
            "offer_hash": None,
            "budget": None,
        }
        fitting = [o for o in self.offers if not self.failing(o, anyone, now)]
        return [answer[0] for answer in self._ranked(fitting, anyone)][:limit]

    def _require_open(self, order: Order, now: int) -> None:
        known = [self.status(e, now) for e in self.orders if e["order"]["id"] == order["id"]]
        status = known[0] if known else order["status"]
        if status == "EXPIRED" or now >= order["expires"]:
            raise Refusal("Expired")
        if status != "PENDING":
            raise Refusal("InvalidStateTransition", status, "MATCHED")
        if now < order["created"]:
            raise Refusal("OrderNotYetValid", now, order["created"])

    def _matches(self, offers: list[Offer], order: Order, now: int) -> list[Answer]:
        reasons = [(o, self.failing(o, order, now)) for o in offers]
        fitting = [o for o, failing in reasons if not failing]
        if fitting:
            return self._ranked(fitting, order)
        near = [(o, failing) for o, failing in reasons if failing <= {"money", "GPUs"}]
        dear = [o for o, failing in near if failing == {"money"}]
        small = [o for o, failing in near if failing == {"GPUs"}]
        if not near:
            raise Refusal("NoMatchingOffers")
        if dear and not small:
            raise Refusal("PriceExceedsBudget", min(total(o, order) for o in dear), most(order))
        if small and not dear:
            raise Refusal("InsufficientCapacity", order["gpus"], max(self.free(o, now) for o in small))
        return []

    def failing(self, offer: Offer, order: Order, now: int) -> set[str]:
        """Name what a pair fails by: money, GPUs, or anything else."""
        kinds = {"price": "money", "budget": "money", "gpus": "GPUs"}
        return {kinds.get(name, "other") for name in self.broken(offer, order, now)}

    def broken(self, offer: Offer, order: Order, now: int) -> set[str]:
        """Name the hard constraints that a pair breaks."""
        agent = offer["agent"] or offer["provider"]
        voucher_signer = order["voucher_signer"] or order["buyer"]
        kept = [
            ("standing", self._stands(offer, now)),
            ("token", offer["token"] == order["token"]),
            ("parties", offer["provider"] != order["buyer"]),
            ("voucher signer", voucher_signer not in (offer["provider"], agent)),
            ("policy", None in (offer["policy"], order["policy"]) or offer["policy"] == order["policy"]),
            ("named offer", order["offer_hash"] is None or order["offer_hash"] == offer["hash"]),
            ("vram", offer["vram"] >= order["vram"]),
            ("features", order["features"] <= offer["features"]),
            ("country", order["country"] is None or order["country"] == offer["country"]),
            ("region", order["region"] is None or order["region"] == offer["region"]),
            ("model", not order["required_models"] or offer["model"] in order["required_models"]),
            ("hours", offer["commitment"] <= order["hours"] <= offer["available"]),
            ("price", offer["price"] <= order["limit"]),
            ("budget", order["budget"] is None or total(offer, order) <= order["budget"]),
            ("gpus", order["gpus"] <= self.free(offer, now)),
        ]
        return {name for name, holds in kept if not holds}

    def _stands(self, offer: Offer, now: int) -> bool:
        return bool(offer["status"] == "ACTIVE" and offer["created"] <= now < offer["expires"])

    def _ranked(self, offers: list[Offer], order: Order) -> list[Answer]:
        def place(offer: Offer) -> tuple[int, int, int, str]:
            return (-score(offer, order, self.weights), offer["price"], offer["created"], offer["id"])

        return [
            (
                o["id"],
                total(o, order),
                score(o, order, self.weights),
                tuple((name, part(name, o, order, self.weights)) for name in PARTS),
            )
            for o in sorted(offers, key=place)
        ]


def total(offer: Offer, order: Order) -> int:
    return int(offer["price"] * order["gpus"] * order["hours"])


def most(order: Order) -> int:
    """What the buyer may pay in all: his budget, and never more than his limit price for everything."""
    at_limit = order["limit"] * order["gpus"] * order["hours"]
    return int(at_limit if order["budget"] is None else min(order["budget"], at_limit))


def score(offer: Offer, order: Order, weights: dict[str, int]) -> int:
    return sum(part(name, offer, order, weights) for name in PARTS)


def part(name: str, offer: Offer, order: Order, weights: dict[str, int]) -> int:
    """Weigh one part: the share in millionths rounded down, times its weight, rounded down again."""
    millionths = int(share(name, offer, order) * 1_000_000)
    return int(Fraction(weights[name] * millionths, 1_000_000))


def share(name: str, offer: Offer, order: Order) -> Fraction:
    """Say how good an offer is in one respect, from 0 to 1."""
    preferred = order["preferred_models"]
    if name == "price":
        return Fraction(order["limit"] - offer["price"], order["limit"])
    if name == "model":
        if not preferred:
            return Fraction(1)
        places = [place for place, model in enumerate(preferred) if model == offer["model"]]
        return Fraction(len(preferred) - places[0], len(preferred)) if places else Fraction(0)
    if name == "utilization":
        return Fraction(0) if offer["utilization"] is None else 1 - Fraction(offer["utilization"], 100)
    if name == "bandwidth":
        return Fraction(min(offer["bandwidth"] or 0, FULL_BANDWIDTH), FULL_BANDWIDTH)
    if name == "features":
        return Fraction(len(offer["features"] - order["features"]), len(FEATURES))
    assert name == "reliability"
    return Fraction(1, 2)
