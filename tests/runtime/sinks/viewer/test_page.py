"""The page in a real browser: real clicks and keys, states forced by what the server says or no longer says."""

from __future__ import annotations

import base64
import json
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="the page needs the live extra")
pytest.importorskip("selenium", reason="driving a browser needs the dev extra")

from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By

from benchmarks.page_stage import CHROMEDRIVER, FINDING, Stage, browser, resize
from edge_cns.data.phantom import CLASSES
from edge_cns.runtime.sinks.base import RecordType

pytestmark = pytest.mark.skipif(not CHROMEDRIVER.exists(), reason=f"{CHROMEDRIVER} is not there")

# Before any script of the page: what comes over the WebSocket is kept, and the moments at which the state changes.
_WITNESS = """
window.traffic = [];
window.changes = [];
const Native = WebSocket;
window.WebSocket = class extends Native {
  constructor(...args) {
    super(...args);
    window.lastSocket = this;
    this.addEventListener("message", (event) => {
      window.onNext?.();
      window.onNext = null;
      window.heardAt = performance.now();
      if (typeof event.data === "string") window.traffic.push(event.data);
      else window.traffic.push(new TextDecoder("latin1").decode(event.data.slice(0, 400)));
    });
    this.addEventListener("close", () => { window.closedAt = performance.now(); });
  }
};
document.addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  window.changes.push([document.body.dataset.kind, performance.now()]);
}).observe(document.body, {attributeFilter: ["data-kind"]}));
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    made = browser(1280, 800, tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads"))
    made.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WITNESS})
    yield made
    made.quit()


@pytest.fixture
def stage(driver):
    made = Stage()
    made.exam(found=True)
    made.status()
    made.play("clear")
    driver.get(made.url)
    until(driver, "document.body.dataset.kind === 'clear'")
    yield made
    made.close()
    errors = [line["message"] for line in driver.get_log("browser") if line["level"] == "SEVERE"]
    assert not [e for e in errors if "WebSocket" not in e and "ERR_CONNECTION" not in e], errors


def until(driver, condition: str, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not driver.execute_script(f"return {condition}"):
        assert time.monotonic() < deadline, f"{condition}: {driver.execute_script('return document.body.innerText')}"
        time.sleep(0.03)


def kind_is(driver, kind: str) -> None:
    until(driver, f"document.body.dataset.kind === '{kind}'")


def text(driver, name: str) -> str:
    return driver.execute_script(f"return document.getElementById('{name}').textContent")


def everything(driver) -> str:
    """The whole document with the words of styles and scripts, what was announced, and the tab's title."""
    return driver.execute_script("return document.documentElement.outerHTML + document.title").casefold()


def press(driver, *keys: str) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def hold(driver, seconds: float) -> None:
    ActionChains(driver).key_down("d").pause(seconds).key_up("d").perform()


def click(driver, name: str) -> None:
    driver.find_element(By.ID, name).click()


def called(stage: Stage, *call) -> None:
    deadline = time.monotonic() + 3
    while call not in stage.calls.made:
        assert time.monotonic() < deadline, stage.calls.made
        time.sleep(0.02)


def names_shown(driver) -> None:
    hold(driver, 1.15)
    until(driver, "document.body.dataset.mode === 'open'")


def test_a_discreet_page_holds_and_hears_no_name(driver, stage):
    for scene, kind, words in (
        ("finding", "review", "Review suggested"),
        ("clear", "clear", "No review suggested so far"),
        ("indeterminate", "indeterminate", "Indeterminate"),
        ("frozen", "frozen", "FROZEN IMAGE, NOT LIVE"),
    ):
        stage.play(scene)
        stage.event("finding_rejected", f"{FINDING}: a shadow")
        kind_is(driver, kind)
        assert text(driver, "words") == words
        page = everything(driver)
        assert not [name for name in CLASSES if name in page], scene
    traffic = " ".join(driver.execute_script("return window.traffic")).casefold()
    assert "verdict" in traffic
    assert not [name for name in CLASSES if name in traffic]
    assert driver.title == "Live view"
    assert driver.execute_script("return document.getElementById('evidence').hidden")


def test_every_state_has_words_a_shape_and_a_border(driver, stage):
    seen = set()
    for scene, kind in (
        ("finding", "review"),
        ("clear", "clear"),
        ("indeterminate", "indeterminate"),
        ("not_supported_view", "not_supported_view"),
        ("frozen", "frozen"),
        ("no_signal", "no_signal"),
    ):
        stage.play(scene)
        kind_is(driver, kind)
        seen.add(driver.execute_script(
            "const s = getComputedStyle(document.querySelector('.state'));"
            "const b = getComputedStyle(document.querySelector('.state'), '::before');"
            "const icon = document.getElementById('icon').getAttribute('href');"
            "return [document.getElementById('words').textContent, icon,"
            "s.borderTopStyle + s.borderTopWidth + b.content].join('|')"
        ))  # fmt: skip
        assert "Research use only" in driver.find_element(By.TAG_NAME, "header").text
        assert "uncalibrated" in driver.find_element(By.TAG_NAME, "header").text
    assert len(seen) == 6
    for part in range(3):
        assert len({line.split("|")[part] for line in seen}) == 6, "each by itself tells the states apart"


def test_frozen_or_stalled_is_told_apart_from_an_announced_freeze(driver, stage):
    stage.play("stalled")
    kind_is(driver, "frozen")
    until(driver, "document.getElementById('words').textContent === 'FROZEN OR STALLED'")
    assert text(driver, "freeze").startswith("Freeze")
    stage.play("cine")
    until(driver, "document.getElementById('words').textContent === 'PLAYED FROM MEMORY, NOT LIVE'")
    assert driver.execute_script("return document.body.dataset.kind") == "frozen"


def test_freeze_by_key_and_by_click(driver, stage):
    press(driver, "f")
    called(stage, "freeze", True)
    stage.play("frozen")
    until(driver, "document.getElementById('freeze').textContent.startsWith('Unfreeze')")
    click(driver, "freeze")
    called(stage, "freeze", False)


def test_a_new_exam_needs_a_second_step(driver, stage):
    press(driver, "r")
    until(driver, "document.getElementById('ask').open")
    press(driver, Keys.ESCAPE)
    until(driver, "!document.getElementById('ask').open")
    click(driver, "reset")
    until(driver, "document.getElementById('ask').open")
    assert stage.calls.made == []
    click(driver, "ask-yes")
    called(stage, "reset")
    stage.event("exam_reset")
    until(driver, "document.getElementById('judge').hidden")
    assert text(driver, "statement") == "No statement yet"


def test_a_finding_is_judged_with_a_note(driver, stage):
    press(driver, "x")
    until(driver, "document.getElementById('ask').open")
    press(driver, "a shadow, freeze", Keys.ENTER)
    called(stage, "judge", False, "a shadow, freeze")
    assert len(stage.calls.made) == 1, "keys in a note are no commands"
    stage.event("finding_rejected")
    until(driver, "document.getElementById('judged').textContent.includes('rejected')")
    click(driver, "accept")
    until(driver, "document.getElementById('ask').open")
    click(driver, "ask-yes")
    called(stage, "judge", True, "")
    stage.exam(found=False)
    until(driver, "document.getElementById('judge').hidden")
    press(driver, "a")
    assert not driver.execute_script("return document.getElementById('ask').open")


def test_names_need_a_second_and_go_at_a_touch(driver, stage):
    stage.play("finding")
    kind_is(driver, "review")
    names_shown(driver)
    until(driver, f"document.getElementById('words').textContent === '{FINDING}'")
    assert "Names shown" in text(driver, "marker")
    until(driver, f"document.getElementById('bars').textContent.includes('{FINDING}')")
    until(driver, f"document.getElementById('polite').textContent.includes('{FINDING}')")
    click(driver, "accept")
    until(driver, f"document.getElementById('ask-text').textContent.includes('{FINDING}')")
    press(driver, Keys.ESCAPE)
    press(driver, "d")
    until(driver, "document.body.dataset.mode === 'discreet'")
    page = everything(driver)
    assert not [name for name in CLASSES if name in page], "at once, before the server has answered"


def test_what_was_on_its_way_with_names_is_not_shown(driver, stage):
    stage.play("indeterminate")
    names_shown(driver)
    until(driver, f"document.getElementById('why').textContent.includes('{FINDING}')")
    page = driver.execute_script(
        "const late = window.traffic.filter((t) => t.includes('could be')).at(-1);"
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'd', bubbles: true}));"
        "window.lastSocket.onmessage({data: late}); return document.documentElement.outerHTML"
    )
    assert not [name for name in CLASSES if name in page.casefold()]
    until(driver, "document.getElementById('why').textContent === 'this image allows no clear statement'")


def test_names_by_a_confirmed_press(driver, stage):
    hold(driver, 0.1)
    until(driver, "document.getElementById('ask').open")
    click(driver, "ask-yes")
    until(driver, "document.body.dataset.mode === 'open'")
    driver.refresh()
    kind_is(driver, "clear")
    time.sleep(0.3)
    assert driver.execute_script("return document.body.dataset.mode") == "discreet"
    assert "anencephaly" not in everything(driver)


def test_names_hide_after_two_minutes_without_a_hand(driver, stage):
    names_shown(driver)
    driver.execute_script(
        "window.onNext = () => { const p = performance.now.bind(performance); performance.now = () => p() + 117000 }"
    )
    time.sleep(0.8)
    assert driver.execute_script("return document.body.dataset.mode") == "open"
    assert "Names shown \u00b7 0:0" in text(driver, "marker")
    until(driver, "document.body.dataset.mode === 'discreet'")
    assert "anencephaly" not in everything(driver)


def test_no_new_result_is_said_when_the_last_one_expires(driver, stage):
    stage.play("finding")
    kind_is(driver, "review")
    stage.pause()
    kind_is(driver, "stale")
    kind, at = driver.execute_script("return window.changes.at(-1)")
    last = driver.execute_script(
        "return window.traffic.map((t) => { try { return JSON.parse(t) } catch { return {} } })"
        ".filter((m) => m.type === 'verdict').at(-1)"
    )
    assert kind == "stale"
    assert last["expires_in_ms"] <= 500
    shown_for = driver.execute_script("return performance.now() - arguments[0]", at)
    assert shown_for < 1000
    assert "NO SIGNAL" in text(driver, "words")
    assert "NO SIGNAL" in driver.find_element(By.ID, "veil").text
    assert "NO SIGNAL" in text(driver, "alert"), "it is read out"
    stage.play("finding")
    kind_is(driver, "review")


def test_a_server_that_is_gone_is_no_signal_within_a_second_and_found_again(driver, stage):
    stage.play("finding")
    kind_is(driver, "review")
    port = stage.sink.port
    stage.close()
    kind_is(driver, "no_signal")
    heard = driver.execute_script("return window.heardAt")
    changed = driver.execute_script(
        "return window.changes.find(([kind, at]) => kind === 'no_signal' && at > window.heardAt - 1)[1]"
    )
    assert changed - heard < 1000
    assert "connection lost" in text(driver, "why")
    assert driver.execute_script("return document.getElementById('freeze').disabled")
    again = Stage(f"http://127.0.0.1:{port}")
    try:
        again.play("finding")
        kind_is(driver, "review")
    finally:
        again.close()


def test_a_server_that_only_falls_silent_is_no_signal_within_a_second(driver, stage):
    """The connection stands and says nothing: as when a host hangs or a cable is drawn."""
    stage.play("finding")
    kind_is(driver, "review")
    started = driver.execute_script("window.lastSocket.onmessage = null; return performance.now()")
    kind_is(driver, "no_signal")
    stale_or_lost = driver.execute_script(
        "return window.changes.filter(([kind, at]) => at > arguments[0] && kind !== 'review')[0][1]", started
    )
    lost = driver.execute_script(
        "return window.changes.filter(([kind, at]) => at > arguments[0] && kind === 'no_signal')[0][1]", started
    )
    assert stale_or_lost - started < 700
    assert lost - started < 1000
    kind_is(driver, "review")


def test_a_slow_line_makes_a_verdict_older_not_fresher(driver, stage):
    """Messages that come late, one after the other, are no state of now, whatever they say."""
    stage.play("finding")
    kind_is(driver, "review")
    time.sleep(0.3)
    driver.execute_script(
        "const s = window.lastSocket, hear = s.onmessage;"
        "s.onmessage = (event) => setTimeout(() => hear(event), 700); window.slowAt = performance.now()"
    )
    kind_is(driver, "stale")
    time.sleep(1)
    changes = driver.execute_script(
        "return window.changes.filter(([, at]) => at > window.slowAt).map(([kind]) => kind)"
    )
    assert changes == ["stale"]


def test_the_evidence_can_be_hidden_and_weakened(driver, stage):
    def colour() -> float:
        png = driver.execute_script("return document.getElementById('picture').toDataURL().split(',')[1]")
        image = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        return float(np.abs(image[..., 2].astype(int) - image[..., 0]).mean())

    stage.play("finding")
    kind_is(driver, "review")
    time.sleep(0.4)
    strong = colour()
    press(driver, *("-" * 8))
    time.sleep(0.1)
    weak = colour()
    press(driver, "h")
    time.sleep(0.1)
    assert strong > 1.3 * weak > 0
    assert colour() < 0.05
    press(driver, "h")


def test_a_snapshot_is_a_picture_with_words(driver, stage):
    stage.play("finding")
    kind_is(driver, "review")
    driver.execute_script(
        "window.saved = null; URL.createObjectURL = (blob) => { const r = new FileReader();"
        "r.onload = () => { window.saved = r.result }; r.readAsDataURL(blob); return 'blob:x' };"
        "window.written = []; const canvas = CanvasRenderingContext2D.prototype, fill = canvas.fillText;"
        "canvas.fillText = function (t, ...a) { window.written.push(t); fill.call(this, t, ...a) };"
        "HTMLAnchorElement.prototype.click = function () { window.named = this.download };"
    )
    press(driver, "s")
    until(driver, "window.saved")
    content = base64.b64decode(driver.execute_script("return window.saved").split(",")[1])
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[1] == 1280
    written = " ".join(driver.execute_script("return window.written"))
    assert "Research use only" in written
    assert "Review suggested" in written
    assert FINDING not in written
    assert driver.execute_script("return window.named").startswith("snapshot-20")


def test_the_timeline_says_in_words_what_it_draws(driver, stage):
    stage.play("finding")
    kind_is(driver, "review")
    until(driver, "document.getElementById('timeline-text').textContent.includes('review suggested')")
    assert "no review suggested" in text(driver, "timeline-text")


def test_help_and_the_large_mode(driver, stage):
    press(driver, "?")
    until(driver, "document.getElementById('keys').open")
    press(driver, Keys.ESCAPE)
    until(driver, "!document.getElementById('keys').open")
    height = driver.execute_script("return document.getElementById('words').offsetHeight")
    press(driver, "l")
    until(driver, f"document.getElementById('words').offsetHeight > 2 * {height}")
    assert "Research use only" in driver.find_element(By.TAG_NAME, "header").text
    press(driver, "l")


def test_a_fallback_and_what_is_not_well_are_in_view(driver, stage):
    stage.play("fallback")
    stage.status(rate={"state": "reduced", "reason": "temperature"}, drift={"flag": True})
    until(driver, "!document.getElementById('fallback').hidden")
    assert "Fallback engine (litert)" in text(driver, "fallback")
    until(driver, "document.getElementById('health-word').textContent.includes('look at 2')")
    assert "reduced: temperature" in text(driver, "health")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 768), (768, 1024), (390, 844)])
def test_it_fits_and_can_be_touched(driver, stage, width, height):
    resize(driver, width, height)
    try:
        stage.play("finding")
        kind_is(driver, "review")
        wide = driver.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        small = driver.execute_script(
            "return [...document.querySelectorAll('button, input')].filter((e) => e.offsetParent)"
            ".filter((e) => Math.min(e.offsetHeight, e.offsetWidth) < 44).map((e) => e.id)"
        )
        assert small == []
        cut = driver.execute_script(
            "return [...document.querySelectorAll('.tools button, .facts dd, h1')]"
            ".filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.id)"
        )
        assert cut == []
    finally:
        resize(driver, 1280, 800)


def test_the_token_is_asked_for_and_never_in_the_address(driver, tmp_path):
    path = tmp_path / "token"
    path.write_text("correct-horse-battery-staple")
    path.chmod(0o600)
    guarded = Stage(f"http://127.0.0.1:0?token_file={path}")
    try:
        guarded.play("clear")
        driver.get(guarded.url)
        field = driver.find_element(By.ID, "token")
        field.send_keys("wrong", Keys.ENTER)
        until(driver, "document.getElementById('said').textContent.includes('not the token')")
        field.send_keys("correct-horse-battery-staple", Keys.ENTER)
        until(driver, "document.body.dataset.kind === 'clear'")
        assert driver.current_url == guarded.url
        assert driver.execute_script("return document.cookie") == "", "no script can read it"
    finally:
        guarded.close()
        driver.delete_all_cookies()
        driver.get_log("browser")


def test_the_end_of_a_session_is_said(driver, stage):
    stage.say(RecordType.SUMMARY, ended="the source ended")
    stage.close()
    kind_is(driver, "no_signal")
    until(driver, "document.getElementById('why').textContent === 'the session has ended: the source ended'")


def test_nothing_is_asked_of_any_other_place(driver, stage):
    asked = driver.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert asked
    assert all(url.startswith(stage.url) for url in asked), json.dumps(asked)
