from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks.page_stage import FINDING, Calls, made_contract
from edge_cns.bundle import Bundle
from edge_cns.runtime.sinks.base import RecordType, Session
from edge_cns.runtime.sinks.viewer.board import TOPICS, Board

SECOND = 1_000_000_000


@pytest.fixture
def board() -> Board:
    contract = made_contract()
    bundle = Bundle(Path("phantom.cns"), {}, contract, {"outcome": "undecided"})
    return Board(Session(bundle, "file:///home/someone/encephalocele.mp4", Calls()))


def verdict(board: Board, state: str = "class", label: str | None = FINDING, **more) -> None:
    now = time.monotonic_ns()
    value = {"state": state, "label": label, "probability": 0.9, "emitted_ns": now, "expires_ns": now + SECOND // 2}
    board.take(RecordType.VERDICT, value | more)


def exam(board: Board, exam: str = "one", **more) -> None:
    value = {"exam": exam, "fetus": "", "outcome": "finding", "label": FINDING, "score": 0.9, "reason": ""}
    board.take(RecordType.EXAM, value | more)


def said(board: Board, topic: str, *, names: bool = False) -> dict:
    message = board.message(topic, names=names)
    assert message is not None
    return message


def test_nothing_at_all_can_be_told(board):
    told = {topic: board.message(topic, names=False) for topic in TOPICS if topic != "timeline"}
    assert told["verdict"] is None
    assert told["status"] is None
    assert told["exam"]["finding"] is None


def test_a_discreet_page_is_told_no_name_by_any_record(board):
    """Every place of every record that could hold one."""
    text = f"evidence for {FINDING}, and /clips/{FINDING}.mp4"
    board.take(
        RecordType.SELFTEST,
        {"backend": text, "classes": [FINDING], "remarks": "uncalibrated", "golden": "exact", "signature": text},
    )
    verdict(
        board,
        reason=text,
        fallback=text,
        engine=text,
        view=FINDING,
        probabilities={FINDING: 0.9},
        steady={"state": "class", "label": FINDING, "probability": 0.9},
    )
    exam(board, reason=text, views_seen=[FINDING], views_missing=[f"{FINDING} view"], evidence={FINDING: 0.9})
    for name in ("finding_accepted", "engine_died", f"about {FINDING}"):
        board.take(RecordType.EVENT, {"event": name, "detail": text, "at_ns": 0})
    board.take(
        RecordType.STATUS,
        {
            "frames": {"dropped": {text: 3}},
            "engine": {"backend": text, "state": text},
            "source": {"uri": f"file:///{FINDING}.mp4", "connected": False, "detail": text},
            "rate": {"state": text, "reason": text},
            "recording": {"state": text},
            "policy": text,
            "sinks": {FINDING: {"failed": True}},
        },
    )
    board.take(RecordType.SUMMARY, {"ended": text})
    everything = json.dumps([*(board.message(t, names=False) for t in TOPICS), board.runs_message(0, names=False)])
    assert FINDING not in everything.casefold()
    assert said(board, "exam")["review"] is True
    assert said(board, "verdict")["fallback"] is True
    assert said(board, "hello")["remarks"] == "uncalibrated"
    assert FINDING in json.dumps([board.message(t, names=True) for t in TOPICS])
    assert "/clips" not in json.dumps([board.message(t, names=True) for t in TOPICS])


def test_the_steady_verdict_is_shown_but_no_freeze_waits(board):
    steady = {"state": "class", "label": "normal", "probability": 0.8}
    verdict(board, steady=steady)
    assert said(board, "verdict")["review"] is False
    for state in ("frozen", "no_signal"):
        verdict(board, state, None, steady=steady)
        assert said(board, "verdict")["state"] == state


def test_how_long_a_verdict_may_be_shown(board):
    now = time.monotonic_ns()
    verdict(board, expires_ns=now + SECOND)
    assert 900 < said(board, "verdict")["expires_in_ms"] <= 1000
    verdict(board, expires_ns=now - SECOND)
    assert said(board, "verdict")["expires_in_ms"] == 0
    verdict(board, "frozen", expires_ns=now - 30 * SECOND)
    assert said(board, "verdict")["expires_in_ms"] > 900


def test_of_an_unsupported_view_there_is_no_evidence(board):
    verdict(board, "not_supported_view", None, probabilities={FINDING: 0.9})
    assert said(board, "verdict", names=True)["probabilities"] == {}


def test_numbers_that_json_does_not_have(board):
    verdict(board, probability=float("nan"), latency_ms=float("inf"), probabilities={FINDING: float("nan")})
    message = said(board, "verdict", names=True)
    json.dumps(message, allow_nan=False)
    assert message["probability"] is None


def test_nothing_of_one_exam_is_left_in_the_next(board):
    verdict(board)
    exam(board)
    first = said(board, "exam")
    assert first["finding"] is not None
    assert len(board.timeline.runs) == 1
    exam(board, "two", outcome="indeterminate", label=None)
    assert said(board, "exam")["number"] == first["number"] + 1
    assert said(board, "exam")["finding"] is None
    assert board.timeline.runs == []


def test_the_first_exam_is_that_of_the_frames_before_it(board):
    verdict(board)
    exam(board)
    assert len(board.timeline.runs) == 1
    assert said(board, "exam")["number"] == 1


def test_a_reset_clears_what_is_stated(board):
    verdict(board)
    exam(board)
    assert board.take(RecordType.EVENT, {"event": "exam_reset", "at_ns": 0}) == {"events", "exam", "timeline"}
    assert said(board, "exam")["outcome"] == "indeterminate"
    assert board.finding is None


def test_a_judgement_belongs_to_one_finding(board):
    exam(board)
    first = board.finding
    board.take(RecordType.EVENT, {"event": "finding_rejected", "at_ns": 0})
    assert said(board, "exam")["judged"] == "rejected"
    exam(board, score=0.95)
    assert (board.finding, said(board, "exam")["judged"]) == (first, "rejected"), "the same finding, only surer"
    exam(board, label="anencephaly")
    assert board.finding != first
    assert said(board, "exam")["judged"] == ""


def test_the_negative_class_is_no_finding_to_judge(board):
    exam(board, label="normal")
    assert board.finding is None
    verdict(board, label="normal")
    assert board.runs_message(0, names=True)["runs"] == [[0, "clear", None]]


def test_a_fetus_by_its_number_never_by_a_name(board):
    exam(board, fetus="2")
    assert said(board, "exam")["fetus"] == "2"
    exam(board, fetus="Rossi, Anna")
    assert said(board, "exam")["fetus"] == ""
