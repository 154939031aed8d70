"""What is said, when, and never too late: on a clock that is turned by hand."""

from __future__ import annotations

import pytest

from edge_cns.decision.verdict import State
from edge_cns.frames import EventKind
from edge_cns.runtime.live.counts import Cause
from tests.runtime.live.conftest import MS, Play

HALF_A_SECOND = 500 * MS


def times(play: Play) -> list[int]:
    return [verdict["emitted_ns"] for verdict in play.verdicts]


def test_before_the_first_frame_there_is_no_signal(play):
    play.wait(1000)
    assert {v["state"] for v in play.verdicts} == {"no_signal"}
    assert play.last["reason"] == "no frame yet"
    assert len(play.verdicts) >= 2


def test_a_verdict_for_each_frame(live):
    classified = [v for v in live.verdicts if v["state"] == "class"]
    assert [v["sequence"] for v in classified] == list(range(15))
    assert all(v["label"] == "cele" and v["probability"] == 0.9 for v in classified)
    assert all(v["age_ms"] == pytest.approx((v["emitted_ns"] - v["captured_ns"]) / 1e6) for v in classified)
    assert live.last["steady"] == {"state": "class", "label": "cele", "probability": pytest.approx(0.9)}
    assert live.last["frames_behind"] == 15
    assert live.last["region"] == [0, 0, 64, 64]


@pytest.mark.parametrize("ms", [2000])
def test_when_frames_stop_it_says_so_within_half_a_second_and_twice_a_second(live, ms):
    last = live.last
    live.wait(ms)
    after = [v for v in live.verdicts if v["emitted_ns"] > last["emitted_ns"] and v["state"] == "no_signal"]
    assert after[0]["emitted_ns"] - last["captured_ns"] < HALF_A_SECOND
    assert after[0]["reason"].startswith("no frame for 4")
    assert all(v["label"] is None and v["probabilities"] == {} and v["steady"]["label"] is None for v in after)
    gaps = [b - a for a, b in zip(times(live), times(live)[1:], strict=False)]
    assert max(gaps) <= HALF_A_SECOND
    live.frame("cele")
    assert live.last["state"] == "class"
    assert live.last["steady"]["state"] == "indeterminate", "what was before the gap says nothing now"


def test_nothing_is_ever_said_of_a_frame_older_than_half_a_second(live):
    old = live.now - 600 * MS
    live.frame("cele", captured_ns=live.now - 10 * MS)
    live.now += 700 * MS
    live.frame("holo", captured_ns=old + 650 * MS)
    late = [v for v in live.verdicts if v["reason"].startswith("too late: the frame is 6")]
    assert [(v["state"], v["label"]) for v in late] == [("no_signal", None)]
    assert live.last["state"] == "no_signal"


def test_a_slow_engine_runs_out_of_time(live):
    from edge_cns.runtime.live.observations import Arrived, Pictured

    for _ in range(20):  # frames come, answers do not
        live.sequence += 1
        live.tell(Arrived(live.now, live.sequence, live.now))
        live.tell(Pictured(live.now, live.sequence, ""))
        live.wait(33)
    assert live.last["state"] == "no_signal"
    assert live.last["reason"].startswith("the newest verdict is")


def test_black_is_said_at_once(live):
    before = live.now
    live.frame(blank="the image is black")
    assert live.refusals == [Cause.BLANK]
    assert (live.last["state"], live.last["reason"]) == ("no_signal", "the image is black")
    assert live.last["emitted_ns"] - before < 50 * MS
    live.frame("cele")
    assert live.last["state"] == "class"


class TestTime:
    def test_a_frame_twice_is_no_news(self, live):
        live.frame(sequence=14)
        live.frame(captured_ns=live.verdicts[-1]["captured_ns"])
        assert live.refusals == [Cause.REPEATED, Cause.REPEATED]

    def test_backwards_is_said_at_once_and_over_when_it_is_over(self, live):
        live.frame(captured_ns=live.now - 3000 * MS)
        assert live.refusals == [Cause.BACKWARDS]
        assert (live.last["state"], live.last["reason"]) == ("no_signal", "frames run backwards in time")
        live.frame("holo")
        assert live.last["label"] == "holo"
        assert "exam_reset" not in live.events()

    def test_a_clock_that_was_set_back_is_believed_after_two_seconds_and_begins_an_exam(self, live):
        back = live.now - 100_000 * MS
        begun = live.now
        while live.now - begun < 4000 * MS:
            live.frame("holo", captured_ns=back + (live.now - begun), state=State.CLASS)
        # Its verdicts are long expired by our clock; what matters is that they are not refused for ever.
        assert set(live.refusals) == {Cause.BACKWARDS}
        assert 1800 * MS < len(live.refusals) * 33 * MS < 2400 * MS
        assert "exam_reset" in live.events()


class TestFreeze:
    def test_the_same_pixels_for_half_a_second_are_frozen_or_stalled(self, live):
        for _ in range(20):
            live.frame(digest=live.sequence if _ == 0 else 777)
        stalled = next(v for v in live.verdicts if v["state"] == "frozen")
        changed = [v for v in live.verdicts if v["state"] == "class" and v["emitted_ns"] < stalled["emitted_ns"]][-1]
        assert stalled["emitted_ns"] - changed["captured_ns"] <= HALF_A_SECOND + 40 * MS
        assert stalled["reason"].startswith("frozen or stalled: the same image for 0.")
        assert (stalled["frozen"], stalled["label"]) == ("stalled", None)
        assert set(live.refusals) == {Cause.UNCHANGED}
        live.frame("holo")
        assert live.last["label"] == "holo"

    def test_twice_the_same_picture_is_no_freeze(self, live):
        for i in range(30):
            live.frame("cele", digest=1000 + i // 2)
        assert "frozen" not in {v["state"] for v in live.verdicts}
        assert live.refusals.count(Cause.UNCHANGED) == 15

    def test_an_announced_freeze_holds_the_verdict_and_marks_it(self, live):
        live.say(EventKind.FREEZE)
        assert (live.last["state"], live.last["label"], live.last["frozen"]) == ("frozen", "cele", "announced")
        assert live.last["reason"].startswith("frozen image, not live")
        for _ in range(60):
            live.frame("holo")
        assert set(live.refusals) == {Cause.FROZEN}
        live.wait(5000)  # a frozen machine may send nothing at all
        assert (live.last["state"], live.last["label"]) == ("frozen", "cele")
        assert live.last["expires_ns"] > live.now
        live.say(EventKind.LIVE)
        live.frame("holo")
        assert (live.last["state"], live.last["label"], live.last["frozen"]) == ("class", "holo", "")

    def test_a_freeze_without_a_live_verdict_holds_none(self, live):
        live.wait(1000)
        live.say(EventKind.FREEZE)
        assert (live.last["state"], live.last["label"]) == ("frozen", None)

    def test_somebody_at_the_page_may_freeze_too(self, live):
        live.ask("freeze")
        live.ask("freeze")
        assert live.events().count("frozen") == 1
        assert (live.last["state"], live.last["label"]) == ("frozen", "cele")
        live.ask("unfreeze")
        live.ask("unfreeze")
        assert live.events().count("live") == 1

    def test_the_page_lets_go_of_what_it_holds_and_of_nothing_else(self, live):
        live.say(EventKind.FREEZE)
        live.ask("freeze")
        live.ask("unfreeze")
        assert (live.last["state"], live.last["frozen"]) == ("frozen", "announced")
        live.say(EventKind.LIVE)
        live.ask("freeze")
        live.say(EventKind.CINE)
        assert live.last["frozen"] == "announced", "the page still holds it"
        live.ask("unfreeze")
        live.film("holo", 1)
        assert live.last["frozen"] == "cine"
        live.say(EventKind.LIVE)
        live.film("cele", 2)
        assert live.exam["evidence"]["holo"] < 0.1, "what was played from memory is no evidence"

    @pytest.mark.parametrize(
        "back",
        [
            lambda play: (play.say(EventKind.FREEZE), play.wait(3000), play.say(EventKind.LIVE)),
            lambda play: (play.lose_engine(), play.wait(1000), play.regain_engine()),
            lambda play: (play.say(EventKind.DISCONNECTED), play.wait(3000), play.say(EventKind.CONNECTED)),
        ],
        ids=["freeze", "engine", "source"],
    )
    def test_what_comes_back_is_not_called_stalled(self, live, back):
        back(live)
        said = len(live.verdicts)
        live.wait(25)
        live.frame("cele")
        assert "stalled" not in {v["frozen"] for v in live.verdicts[said:]}
        assert live.last["state"] == "class"

    def test_what_was_held_is_gone_when_the_source_was_gone(self, live):
        live.say(EventKind.FREEZE)
        live.say(EventKind.DISCONNECTED, "cable")
        live.wait(1000)
        live.say(EventKind.CONNECTED)
        live.wait(1000)
        assert all(v["label"] is None for v in live.verdicts if v["emitted_ns"] > live.now - 2000 * MS)

    def test_a_source_that_goes_away_is_no_freeze(self, live):
        live.say(EventKind.FREEZE)
        live.say(EventKind.DISCONNECTED, "cable")
        assert (live.last["state"], live.last["reason"]) == ("no_signal", "the source is gone: cable")
        assert live.last["label"] is None

    def test_played_from_memory_is_shown_and_counts_for_nothing(self, live):
        live.say(EventKind.CINE)
        live.film("holo", 1)
        assert (live.last["label"], live.last["frozen"]) == ("holo", "cine")
        assert live.last["reason"].startswith("played from memory, not live")
        live.say(EventKind.LIVE)
        live.film("cele", 2)
        assert live.exam["n_frames"] <= 15 + 60
        assert live.exam["evidence"]["holo"] < 0.1


class TestEngine:
    def test_its_loss_is_said_at_once_and_its_return_too(self, live):
        live.lose_engine()
        assert live.last["state"] == "no_signal"
        assert live.last["reason"] == "the engine litert was lost: killed; it is being restarted"
        live.wait(800)
        assert live.last["state"] == "no_signal"
        live.regain_engine()
        live.frame("holo")
        assert (live.last["label"], live.last["steady"]["label"]) == ("holo", None)
        started = [v for v in live.of(live.records[0].type) if v["event"] == "engine_started"]
        assert [v["engine_pid"] for v in started] == [42, 43]

    def test_what_a_liar_said_since_it_was_last_found_right_does_not_count(self, live):
        before = live.exam["n_frames"]
        for _ in range(5):
            live.frame("holo")  # not verified
        live.lose_engine()
        (died,) = [r.value for r in live.records if r.value.get("event") == "engine_died"]
        assert died["frames_withdrawn"] == 5
        live.regain_engine()
        live.film("cele", 2)
        assert live.exam["n_frames"] <= before + 60 + 15
        assert live.exam["evidence"]["cele"] > 0.8

    def test_a_fallback_is_on_every_verdict(self, live):
        from edge_cns.runtime.live.observations import EngineChanged

        live.tell(EngineChanged(live.now, True, "litert", 44, fallback="on the CPU: edgetpu is gone"))
        live.frame("cele")
        live.wait(1000)
        assert live.last["fallback"] == "on the CPU: edgetpu is gone"
        assert live.events().count("engine_fallback") == 1


class TestSource:
    def test_gone_and_back(self, live):
        live.say(EventKind.DISCONNECTED, "no route")
        assert live.last["reason"] == "the source is gone: no route"
        live.wait(3000)
        live.say(EventKind.CONNECTED)
        live.frame("cele")
        assert live.last["state"] == "class"

    def test_connected_and_silent_is_no_signal(self, live):
        live.say(EventKind.DISCONNECTED)
        live.wait(1000)
        live.say(EventKind.CONNECTED)
        live.wait(600)
        assert live.last["state"] == "no_signal"

    def test_its_end_is_the_last_word(self, live):
        live.end("the source failed: pulled")
        assert (live.last["state"], live.last["reason"]) == ("no_signal", "the source failed: pulled")

    def test_a_result_after_the_source_went_is_not_shown(self, live):
        live.frame("holo", meanwhile=lambda play: play.say(EventKind.DISCONNECTED, "cable"))
        assert all(v["label"] != "holo" for v in live.verdicts)
        assert live.last["state"] == "no_signal"

    def test_useless_frames_for_a_while_are_not_called_frozen(self, live):
        for _ in range(40):
            live.unusable()
            live.wait(33)
        assert live.last["steady"]["state"] == "not_supported_view"
        assert "frozen" not in {v["state"] for v in live.verdicts}

    def test_no_frames_but_something(self, live):
        live.unusable()
        assert (live.last["state"], live.last["reason"]) == ("not_supported_view", "frame is 40x30 px")
        live.frame("cele")
        assert live.last["state"] == "class"

    @pytest.mark.parametrize(("mode", "readable"), [("B", True), ("", True), ("doppler", False), ("M", False)])
    def test_modes(self, live, mode, readable):
        live.say(EventKind.MODE, mode)
        assert (live.monitor.unreadable == "") is readable


class TestExams:
    def test_evidence_becomes_a_finding(self, play):
        play.film("cele", 6)
        assert (play.exam["outcome"], play.exam["label"]) == ("finding", "cele")
        assert play.exam["evidence"]["cele"] > 0.8
        assert play.exam["views_seen"] == ["head"]

    @pytest.mark.parametrize(
        "crossing",
        [
            lambda play: play.say(EventKind.EXAM, "next"),
            lambda play: play.say(EventKind.EXAM),
            lambda play: play.say(EventKind.FETUS, "B"),
            lambda play: play.ask("reset_exam"),
            lambda play: play.wait(61_000),
            lambda play: [play.frame(blank="the image is black") for _ in range(2200)],
            lambda play: [
                (play.say(EventKind.DISCONNECTED), play.wait(49_000), play.say(EventKind.CONNECTED), play.wait(1000))
                for _ in range(2)
            ],
            lambda play: (play.say(EventKind.FREEZE), play.wait(901_000), play.say(EventKind.LIVE)),
        ],
        ids=["exam", "nameless exam", "fetus", "asked for", "60 s", "60 s of black", "60 s in two losses", "long hold"],
    )
    def test_evidence_never_crosses(self, play, crossing):
        play.say(EventKind.EXAM, "first")
        play.say(EventKind.FETUS, "A")
        play.film("cele", 6)
        crossing(play)
        assert play.exam["n_frames"] == 0
        assert play.exam["label"] is None
        play.film("normal", 6)
        assert play.exam["label"] is None
        assert play.exam["evidence"]["cele"] < 0.1
        assert play.exam["n_frames"] <= 181
        assert play.events().count("exam_reset") >= 2

    def test_what_was_not_yet_verified_does_not_cross_either(self, live):
        for _ in range(5):
            live.frame("cele")
        live.say(EventKind.EXAM, "next")
        live.film("normal", 0.5)
        assert live.exam["evidence"]["cele"] < 0.1

    @pytest.mark.parametrize(
        "change",
        [
            lambda play: play.say(EventKind.EXAM, "next"),
            lambda play: play.say(EventKind.FETUS, "B"),
            lambda play: play.ask("reset_exam"),
            lambda play: play.say(EventKind.MODE, "B"),
        ],
        ids=["exam", "fetus", "asked for", "mode"],
    )
    def test_a_frame_on_its_way_belongs_to_what_was_before(self, live, change):
        live.frame("holo", meanwhile=change)
        late = next(v for v in live.verdicts if "the frame came before" in v["reason"])
        assert (late["state"], late["label"], late["probabilities"]) == ("indeterminate", None, {})
        live.film("cele", 2)
        assert live.exam["evidence"]["holo"] < 0.1
        assert all(v["label"] != "holo" for v in live.verdicts)

    def test_nor_does_what_was_played_from_memory_become_live(self, live):
        live.say(EventKind.CINE)
        live.frame("holo", meanwhile=lambda play: play.say(EventKind.LIVE))
        live.film("cele", 2)
        assert live.exam["evidence"]["holo"] < 0.1

    def test_the_same_exam_again_is_no_reset(self, live):
        live.say(EventKind.EXAM, "first")
        live.film("cele", 1)
        resets = live.events().count("exam_reset")
        live.say(EventKind.EXAM, "first")
        assert live.events().count("exam_reset") == resets
        assert live.exam["exam"] == "first"

    def test_the_name_of_the_last_exam_does_not_stand_beside_the_next(self, play):
        play.say(EventKind.EXAM, "first")
        play.film("cele", 1)
        play.wait(61_000)
        play.film("normal", 1)
        assert play.exam["exam"] == play.exam["fetus"] == ""

    def test_a_pause_of_a_minute_on_hold_is_no_other_exam(self, live):
        live.film("cele", 6)
        live.say(EventKind.FREEZE)
        live.wait(70_000)
        live.say(EventKind.LIVE)
        live.film("cele", 0.5)
        assert live.exam["n_frames"] > 100

    def test_a_new_exam_takes_the_verdict_off_the_screen(self, live):
        live.say(EventKind.EXAM, "next")
        assert (live.last["state"], live.last["label"]) == ("indeterminate", None)
        assert live.last["steady"]["label"] is None
        live.wait(450)
        assert live.last["state"] == "no_signal"

    def test_findings_are_judged_and_nothing_else_is(self, play):
        play.film("normal", 1)
        play.ask("accept")
        assert play.events()[-1] == "nothing_to_judge"
        play.say(EventKind.EXAM, "next")
        play.film("cele", 6)
        play.ask("reject", "shadow")
        assert play.records[-1].value["event"] == "finding_rejected"
        assert play.records[-1].value["label"] == "cele"
        assert play.records[-1].value["note"] == "shadow"


def test_the_same_observations_give_the_same_records():
    def script(play: Play) -> list[dict]:
        play.film("cele", 1)
        play.say(EventKind.FREEZE)
        play.wait(900)
        play.say(EventKind.LIVE)
        play.film("normal", 1)
        play.lose_engine()
        play.regain_engine()
        play.end()
        return [record.to_json() for record in play.records]

    assert script(Play()) == script(Play())


def counted(live) -> int:
    return live.monitor._evidence.statement().n_frames


class TestWhatTheMachineSays:
    def test_a_probe_that_is_removed_takes_the_evidence_with_it(self, live):
        live.say(EventKind.EXAM, "one")
        live.film("cele", 1)
        assert counted(live) > 0
        live.say(EventKind.PROBE, "C5-1")
        assert counted(live) > 0, "another probe, the same patient"
        live.say(EventKind.PROBE, "")
        assert counted(live) == 0
        assert live.monitor._evidence.exam == "one", "nobody else lies there"

    def test_the_end_of_an_exam_leaves_nothing(self, live):
        live.say(EventKind.EXAM, "one")
        live.say(EventKind.FETUS, "2")
        live.say(EventKind.GESTATIONAL_AGE, "154")
        live.frame("cele")
        assert (live.last["exam"], live.last["fetus"]) == ("one", "2")
        assert live.monitor._evidence.gestational_age_days == 154
        live.say(EventKind.EXAM_END)
        live.frame("cele")
        assert (live.last["exam"], live.last["fetus"]) == ("", "")
        assert live.monitor._evidence.gestational_age_days is None
        assert live.events().count("exam_reset") == 3

    @pytest.mark.parametrize("kind", [EventKind.PRESET, EventKind.DEPTH, EventKind.ORIENTATION])
    def test_settings_are_logged_and_change_nothing(self, live, kind):
        live.film("cele", 1)
        before = counted(live)
        live.say(kind, "150")
        assert live.events()[-1] == kind.value
        assert counted(live) == before

    @pytest.mark.parametrize("value", ["", "x", "-3", "12345", "1.5"])
    def test_an_age_that_is_no_number_of_days_is_none(self, live, value):
        live.say(EventKind.GESTATIONAL_AGE, value)
        assert live.monitor._evidence.gestational_age_days is None
