"""Figures for Prometheus: what a scraper reads is what was counted."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from molt_market import metrics
from molt_market.errors import StorageUnavailable
from molt_market.payments.journal import EntryState, MemoryJournal


def read(text: str) -> dict[str, dict[str, float]]:
    """Return the samples of each metric by its only label."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[next(iter(sample.labels.values()))] = sample.value
    return found


def test_text__of_a_journal__has_every_state() -> None:
    journal = MemoryJournal()
    for key in ("open:a", "open:b", "open:c"):
        journal.plan(key)
    journal.fail("open:c", "no money")
    states = read(metrics.text(journal.counts))["molt_payments"]
    assert set(states) == {str(state) for state in EntryState}
    assert {state: number for state, number in states.items() if number} == {"planned": 2, "failed": 1}


def test_text__counts_what_happened_in_this_process() -> None:
    before = read(metrics.text()).get("molt_payment_events_total", {}).get("tested", 0)
    metrics.happened("tested")
    metrics.happened("tested")
    assert read(metrics.text())["molt_payment_events_total"]["tested"] == before + 2
    assert "molt_payments{" not in metrics.text()


def test_text__journal_cannot_be_read__raises() -> None:
    def counts() -> dict[EntryState, int]:
        raise StorageUnavailable("sqlite:///x", "locked")

    with pytest.raises(StorageUnavailable):
        metrics.text(counts)
