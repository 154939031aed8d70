"""Tables of a long session, from records that were made by hand."""

from __future__ import annotations

import pytest

from benchmarks.live import classified, minutes


def verdict(second: float, age: float, probabilities=None) -> dict:
    return {
        "type": "verdict",
        "captured_ns": round(second * 1e9),
        "age_ms": age,
        "probabilities": {"a": 1.0} if probabilities is None else probabilities,
    }


def status(second: float, rss: float, dropped: int) -> dict:
    return {
        "type": "status",
        "at_ns": round(second * 1e9),
        "rss_mib": rss,
        "frames": {"dropped": {"superseded": dropped}},
    }


def test_a_frame_counts_once_and_no_signal_not_at_all():
    records = [verdict(1, 3), verdict(1, 400), verdict(2, 4), verdict(3, 9, {})]
    assert [record["age_ms"] for record in classified(records)] == [3, 4]


def test_a_row_a_minute():
    records = [verdict(10 + i, 3.0 if i < 60 else 5.0) for i in range(90)]
    records += [status(10.5 + i, 100 + i, i) for i in range(90)]
    first, second = minutes(records)
    assert (first["minute"], first["frames"], first["p50_ms"], first["dropped"]) == (1, 60, 3.0, 59)
    assert (second["minute"], second["frames"], second["p50_ms"], second["dropped"]) == (2, 30, 5.0, 89)
    assert first["rss_mib"] == pytest.approx(129.5)
