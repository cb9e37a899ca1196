"""Clearing for most surplus: ours beside scipy's assignments, OR-tools' min cost flow, and HiGHS.

What the others find is the optimum, and has to lie between our surplus and our bound. Their edges are made
beforehand by NumPy, and their time does not count that; ours counts all: orders written down, edges, the
outcome, the bound. By itself (`.venv-bench/bin/python -m benchmarks._clearing`) it renews the rows in
results/matcher.json.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ortools.graph.python import min_cost_flow
from scipy.optimize import Bounds, LinearConstraint, linear_sum_assignment, linprog, milp
from scipy.sparse import csr_matrix, hstack, vstack
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from benchmarks import _market as market
from benchmarks import _rivals as rivals
from benchmarks._rows import Row, renew
from molt_market.orderbook.compiled.blocks import BlockIndex, compile_all
from molt_market.orderbook.demand import Demand
from molt_market.orderbook.surplus import Outcome

REPEATS = 7
MIP_SECONDS = 60
NANO = market.NANO


@dataclass(frozen=True)
class Case:
    """So many orders and offers, in our index and as edges: order, offer, gain in nanos."""

    questions: list[market.Question]
    table: market.Offers
    index: BlockIndex
    demands: list[Demand]

    @classmethod
    def of(cls, orders: int, offers: int) -> Case:
        table, asked, index = market.offers(offers), market.questions(orders), BlockIndex()
        index.add_all(market.listings(table))
        return cls(asked, table, index, [each.demand() for each in asked])

    def ours(self, *, share_slots: bool) -> tuple[float, Outcome]:
        """Return the least seconds of a clearing, and its outcome."""
        taken = []
        for _ in range(REPEATS + 1):  # the first one may have to compile
            seconds, outcome = timed(
                lambda: self.index.most_surplus(self.demands, {}, share_slots=share_slots)
            )
            taken.append(seconds)
        return min(taken[1:]), outcome

    def edges(self) -> Any:
        """Return all edges by three columns of whole numbers."""
        t, now = self.table, rivals.NOW_SECONDS
        stands = (t.free > 0) & (t.created <= now) & (t.expires > now)
        found = []
        for i, q in enumerate(self.questions):
            fits = stands & (t.free >= q.gpus) & (t.price <= q.cap) & (t.vram >= q.vram)
            fits &= (t.commitment <= q.hours) & (t.available >= q.hours)
            fits &= (t.features & q.features) == q.features
            if q.required:
                fits &= np.isin(t.model, q.required)
            if q.region is not None:
                fits &= t.region == q.region
            if q.country is not None:
                fits &= t.country == q.country
            if q.policy:
                fits &= (t.policy == q.policy) | (t.policy == 0)
            offers = np.flatnonzero(fits)
            gains = min(q.budget, q.limit * q.gpus * q.hours) - t.price[offers] * (q.gpus * q.hours)
            found.append(np.stack([np.full(len(offers), i), offers, gains]))
        return np.concatenate(found, axis=1)


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    answer = act()
    return time.perf_counter() - started, answer


# ------------------------------------------------------------------------------------ one order a slot


def dense(case: Case, edges: Any) -> Callable[[], float]:
    gains = np.zeros((len(case.questions), len(case.table)))
    gains[edges[0], edges[1]] = edges[2]

    def solve() -> float:
        rows, columns = linear_sum_assignment(gains, maximize=True)
        return float(gains[rows, columns].sum())

    return solve


def sparse(case: Case, edges: Any) -> Callable[[], float]:
    """Give each order a column of its own, which gains nothing: all rows have to be matched."""
    n, nothing = len(case.questions), 1e-3
    gains = csr_matrix((edges[2] + nothing, (edges[0], edges[1])), shape=(n, len(case.table)))
    own = csr_matrix((np.full(n, nothing), (np.arange(n), np.arange(n))), shape=(n, n))
    table = hstack([gains, own]).tocsr()

    def solve() -> float:
        rows, columns = min_weight_full_bipartite_matching(table, maximize=True)
        return float(np.asarray(table[rows, columns]).sum()) - nothing * n

    return solve


def flow(case: Case, edges: Any) -> Callable[[], float]:
    n, m = len(case.questions), len(case.table)
    source, sink = n + m, n + m + 1
    order, offer, gain = edges
    orders, offers = np.arange(n), np.arange(m)
    tails = np.concatenate([order, np.full(n, source), n + offers, orders])
    heads = np.concatenate([n + offer, orders, np.full(m, sink), np.full(n, sink)])
    costs = np.concatenate([-gain, np.zeros(n + m + n, np.int64)])

    def solve() -> float:
        solver = min_cost_flow.SimpleMinCostFlow()
        solver.add_arcs_with_capacity_and_unit_cost(tails, heads, np.ones(len(tails), np.int64), costs)
        solver.set_nodes_supplies(np.array([source, sink]), np.array([n, -n]))
        assert solver.solve() == solver.OPTIMAL
        return float(-solver.optimal_cost())

    return solve


def limits(case: Case, edges: Any, *, share_slots: bool) -> tuple[Any, Any]:
    """Return the constraints of the linear program: each order once, each slot's GPUs (or one order)."""
    count = len(edges[0])
    gpus = np.array([each.gpus for each in case.questions])[edges[0]] if share_slots else np.ones(count)
    orders = csr_matrix((np.ones(count), (edges[0], np.arange(count))), shape=(len(case.questions), count))
    slots = csr_matrix((gpus, (edges[1], np.arange(count))), shape=(len(case.table), count))
    rooms = case.table.free if share_slots else np.ones(len(case.table))
    return vstack([orders, slots]).tocsr(), np.concatenate([np.ones(len(case.questions)), rooms])


def highs(case: Case, edges: Any, *, share_slots: bool) -> Callable[[], float]:
    table, most = limits(case, edges, share_slots=share_slots)
    costs = -edges[2] / NANO  # its tolerances are absolute
    return lambda: NANO * float(-linprog(costs, A_ub=table, b_ub=most, bounds=(0, 1), method="highs").fun)


def highs_mip(case: Case, edges: Any) -> Callable[[], float]:
    table, most = limits(case, edges, share_slots=True)

    def solve() -> float:
        found = milp(
            -edges[2] / NANO,
            constraints=LinearConstraint(table, -np.inf, most),
            integrality=np.ones(len(edges[0])),
            bounds=Bounds(0, 1),
            options={"time_limit": MIP_SECONDS},
        )
        assert found.success, found.message
        return NANO * float(-found.fun)

    return solve


# ------------------------------------------------------------------------------------ the table

Make = Callable[[Case, Any], Callable[[], float]]
ASSIGNMENTS: tuple[tuple[int, str, Make], ...] = (
    (1_000, "HiGHS LP", lambda case, edges: highs(case, edges, share_slots=False)),
    (3_000, "scipy linear_sum_assignment, dense", dense),
    (3_000, "scipy min_weight_full_bipartite_matching", sparse),
    (3_000, "OR-tools min cost flow", flow),
)


def ceiling(name: str, n: int, value: float, unit: str, goal: float | None) -> Row:
    return Row.ceiling(name, round(value, 4), unit=unit, metric="time", goal=goal, baseline=None, n=n)


def percent(name: str, n: int, part: float, whole: float, goal: float | None = None) -> Row:
    """Make a row of a share that should not be below its goal."""
    share = round(100 * part / whole, 3)
    return Row(name, n, "share", share, "%", goal, None if goal is None else share >= goal, None, None)


def gap(name: str, n: int, outcome: Outcome, goal: float | None) -> Row:
    share = round(100 * (outcome.bound - outcome.surplus) / outcome.bound, 4)
    return Row.ceiling(name, share, unit="%", metric="gap", goal=goal, baseline=None, n=n)


def require_between(outcome: Outcome, optimum: float) -> None:
    """Hold our certificate to what another one found, but for that one's own rounding."""
    low, high = outcome.surplus / NANO, outcome.bound / NANO
    if not low * (1 - 1e-9) <= optimum <= high * (1 + 1e-9):
        raise AssertionError(f"the optimum {optimum} is not between {low} and {high}")


def by_age(case: Case, *, share_slots: bool) -> float:
    """Return what orders gain that take the cheapest offer in turn, in nanos."""
    t, q = case.table, case.questions
    free, gained = t.free.copy(), 0
    order, offer, gain = case.edges()
    starts = np.searchsorted(order, np.arange(len(q) + 1))
    for i in range(len(q)):
        own = offer[starts[i] : starts[i + 1]]
        left = np.where(free[own] >= q[i].gpus, gain[starts[i] : starts[i + 1]], -1)
        if len(left) and (best := int(left.argmax())) >= 0 and left[best] >= 0:
            gained += int(left[best])
            free[own[best]] = free[own[best]] - q[i].gpus if share_slots else 0
    return float(gained)


def one_a_slot() -> list[Row]:
    found = []
    for orders, offers, goals in ((10_000, 100_000, (0.5, 0.1)), (10_000, 10_000, (None, None))):
        case = Case.of(orders, offers)
        seconds, outcome = case.ours(share_slots=False)
        name = f"clearing of {orders:,} orders, one a slot"
        found += [
            ceiling(name, offers, seconds, "s", goals[0]),
            gap(f"{name}: certified gap", offers, outcome, goals[1]),
        ]
        if offers == orders:  # the edges of the other one are 66 million
            oldest = by_age(case, share_slots=False) * NANO
            found.append(percent(f"{name}: price-time, of the bound", offers, oldest, outcome.bound))
    for size, rival, make in ASSIGNMENTS:
        case = Case.of(size, size)
        ours, outcome = case.ours(share_slots=False)
        its, optimum = timed(make(case, case.edges()))
        require_between(outcome, optimum)
        name = f"clearing of {size:,} orders, one a slot: {rival}"
        ratio = round(its / ours, 1)
        found.append(Row(name, size, "time", round(its, 4), "s", None, None, round(ours, 4), ratio))
    return found


def shared() -> list[Row]:
    orders, offers = 1_000, 500
    case, name = Case.of(orders, offers), f"clearing of {orders:,} orders, slots shared"
    seconds, outcome = case.ours(share_slots=True)
    edges = case.edges()
    lp_seconds, lp = timed(highs(case, edges, share_slots=True))
    mip_seconds, mip = timed(highs_mip(case, edges))
    require_between(outcome, mip)
    surplus = outcome.surplus / NANO
    oldest = by_age(case, share_slots=True)
    return [
        ceiling(name, offers, 1_000 * seconds, "ms", 20),
        percent(f"{name}: of the LP's bound", offers, surplus, lp, 99.3),
        percent(f"{name}: of the best there is", offers, surplus, mip),
        gap(f"{name}: certified gap", offers, outcome, None),
        percent(f"{name}: price-time, of the LP's bound", offers, oldest, lp),
        percent(f"{name}: HiGHS MIP, of the LP's bound", offers, mip, lp),
        *(
            Row(
                f"{name}: {rival}",
                offers,
                "time",
                round(its, 4),
                "s",
                None,
                None,
                round(seconds, 4),
                round(its / seconds, 1),
            )
            for rival, its in (("HiGHS LP", lp_seconds), ("HiGHS MIP", mip_seconds))
        ),
    ]


def rows() -> list[Row]:
    return [*one_a_slot(), *shared()]


def main() -> None:
    print(f"everything on core {rivals.pinned()}")
    compile_all()
    renew("matcher", rows(), of="clearing of ")


if __name__ == "__main__":
    main()
