"""Figures for Prometheus: what happened to payments in this process, and where those of a journal stand.

`text` gives them in the form that Prometheus reads, for a command, a file or an HTTP endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Counts = Callable[[], Mapping[Any, int]]
"""Says how many payments are in each state; its keys are written by `str`."""

PROCESS = CollectorRegistry()
EVENTS = Counter(
    "molt_payment_events",
    "What happened to payments in this process: sent, replaced, mined, final, reverted, dropped, ...",
    ["event"],
    registry=PROCESS,
)


class PaymentStates(Collector):
    """The gauge `molt_payments{state="..."}`: counted whenever it is asked for."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("molt_payments", "Payments in the journal, by state.", labels=["state"])
        for state, number in self._counts().items():
            family.add_metric([str(state)], number)
        yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the gauge without counting; the registry asks when it is registered."""
        yield GaugeMetricFamily("molt_payments", "Payments in the journal, by state.", labels=["state"])


def happened(event: str) -> None:
    """Count an event of a payment."""
    EVENTS.labels(event).inc()


def text(counts: Counts | None = None) -> str:
    """Return all figures in Prometheus's text form; with `counts`, those of a journal's payments too.

    Raises what `counts` raises.
    """
    journal = CollectorRegistry()
    if counts is not None:
        journal.register(PaymentStates(counts))
    return (generate_latest(journal) + generate_latest(PROCESS)).decode()
