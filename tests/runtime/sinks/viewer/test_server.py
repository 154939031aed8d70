from __future__ import annotations

import asyncio
import json
import socket as plain
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

aiohttp = pytest.importorskip("aiohttp", reason="the page needs the live extra")

from benchmarks.page_stage import FINDING, Stage  # noqa: E402
from edge_cns.errors import BadInputError, OperationError  # noqa: E402
from edge_cns.runtime.sinks.base import RecordType  # noqa: E402
from edge_cns.runtime.sinks.viewer import watcher  # noqa: E402
from edge_cns.runtime.sinks.viewer.hub import MOST_WATCHERS  # noqa: E402
from edge_cns.runtime.sinks.viewer.server import open_viewer  # noqa: E402

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def stage():
    made = Stage()
    yield made
    made.close()


@pytest.fixture
def guarded(tmp_path):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    made = Stage(f"http://127.0.0.1:0?token_file={path}")
    yield made
    made.close()


def with_client(check) -> None:
    async def run():
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            await asyncio.wait_for(check(client), 20)

    asyncio.run(run())


@asynccontextmanager
async def page(client, stage, **headers):
    """Watch, as a page does."""
    origin = {"Origin": stage.url.rstrip("/")}
    async with client.ws_connect(f"{stage.url}live", headers=origin | headers) as socket:
        yield socket


async def until(socket, wanted):
    """The first message that is wanted; says of pictures that they were seen."""
    while True:
        message = await socket.receive(5)
        if message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_json({"do": "seen"})
            continue
        assert message.type is aiohttp.WSMsgType.TEXT, message
        value = json.loads(message.data)
        if wanted(value):
            return value


async def answer(socket, **command):
    await socket.send_json(command)
    return await until(socket, lambda m: m["type"] == "answer" and m["do"] == command["do"])


def test_the_page_and_what_protects_it(stage):
    async def check(client):
        async with client.get(stage.url) as response:
            text = await response.text()
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
            policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in text.replace("http-equiv", "")
        assert "<script>" not in text
        assert "style=" not in text
        for path in ("page.css", "theme.css", "main.js", "icon.svg"):
            async with client.get(stage.url + path) as response:
                assert response.status == 200
                assert response.headers["X-Content-Type-Options"] == "nosniff"

    with_client(check)


def test_what_is_not_served(stage):
    async def check(client):
        for path in (
            "nothing",
            "login.html",
            "page.html",
            "../server.py",
            "static/main.js",
            "%2e%2e/server.py",
            "live",
        ):
            async with client.get(stage.url + path) as response:
                assert response.status in (403, 404), path
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            async with client.request(method, stage.url) as response:
                assert response.status == 405, method
        async with client.get(stage.url, headers={"Host": "evil.example"}) as response:
            assert response.status == 403

    with_client(check)


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "http://[bad"])
def test_another_site_cannot_watch(stage, origin):
    async def check(client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(f"{stage.url}live", headers={} if origin is None else {"Origin": origin})
        assert refused.value.status == 403

    with_client(check)


def test_a_new_page_is_told_everything(stage):
    stage.exam(found=True)
    stage.status()
    stage.event("engine_started", "litert")

    async def check(client):
        stage.play("finding")
        async with page(client, stage) as socket:
            types, picture = set(), None
            while types < {"hello", "verdict", "exam", "timeline", "status", "events"} or picture is None:
                message = await socket.receive(5)
                if message.type is aiohttp.WSMsgType.BINARY:
                    picture = message.data
                else:
                    types.add(json.loads(message.data)["type"])
        assert b"\xff\xd8\xff" in picture

    with_client(check)


def test_names_are_sent_only_to_who_asked(stage):
    async def check(client):
        stage.exam(found=True)
        stage.play("finding")
        async with page(client, stage) as discreet, page(client, stage) as opened:
            assert (await answer(opened, do="names", show=True))["ok"]
            told = await until(opened, lambda m: m["type"] == "verdict" and "label" in m)
            assert told["label"] == FINDING
            for _ in range(20):
                assert FINDING not in json.dumps(await until(discreet, lambda m: True))
            await answer(opened, do="names", show=False)
            await until(opened, lambda m: m["type"] == "hello" and m["mode"] == "discreet")
            for _ in range(20):
                assert FINDING not in json.dumps(await until(opened, lambda m: True))

    with_client(check)


def test_names_end_by_themselves(stage, monkeypatch):
    monkeypatch.setattr(watcher, "NAMES_SECONDS", 0.4)

    async def check(client):
        async with page(client, stage) as socket:
            await answer(socket, do="names", show=True)
            await until(socket, lambda m: m["type"] == "hello" and m["mode"] == "open")
            await until(socket, lambda m: m["type"] == "hello" and m["mode"] == "discreet")

    with_client(check)


def test_a_discreet_picture_has_evidence_only_for_a_review(stage):
    async def header(socket):
        while True:
            message = await socket.receive(5)
            if message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_json({"do": "seen"})
                length = int.from_bytes(message.data[:4], "little")
                return json.loads(message.data[4 : 4 + length])

    async def check(client):
        async with page(client, stage) as socket:
            for scene, seen in (("finding", True), ("clear", False), ("indeterminate", False)):
                stage.play(scene)
                for _ in range(6):
                    last = await header(socket)
                assert (last["outline"] is not None, last["heat"] is not None) == (seen, seen), scene

    with_client(check)


def test_commands_reach_the_runtime(stage):
    async def check(client):
        stage.exam(found=True)
        async with page(client, stage) as socket:
            finding = (await until(socket, lambda m: m["type"] == "exam"))["finding"]
            for command in (
                {"do": "freeze", "on": True},
                {"do": "freeze", "on": False},
                {"do": "reset"},
                {"do": "judge", "accepted": False, "note": "  a\nshadow\x00 ", "finding": finding},
            ):
                assert (await answer(socket, **command))["ok"], command
        assert stage.calls.made == [("freeze", True), ("freeze", False), ("reset",), ("judge", False, "a shadow")]

    with_client(check)


def test_commands_that_are_refused(stage):
    async def check(client):
        async with page(client, stage) as socket:
            for command in (
                {"do": "judge", "accepted": True, "finding": None},
                {"do": "judge", "accepted": True, "finding": "1.1"},
                {"do": "freeze", "on": 1},
                {"do": "freeze"},
                {"do": "shutdown"},
                {"do": ""},
            ):
                told = await answer(socket, **command)
                assert not told["ok"], command
                assert told["text"]
        assert stage.calls.made == []

    with_client(check)


def test_what_the_runtime_cannot_do_is_said_without_names(stage):
    def reset_exam():
        raise OperationError(f"no: {FINDING} is being written")

    stage.calls.reset_exam = reset_exam

    async def check(client):
        async with page(client, stage) as socket:
            told = await answer(socket, do="reset")
            assert not told["ok"]
            assert told["text"] == "the runtime refused"

    with_client(check)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"seen"', "[" * 3000, "x" * 5000, b"\x00\x01"])
def test_nonsense_ends_the_connection_and_nothing_else(stage, text):
    async def check(client):
        async with page(client, stage) as socket, page(client, stage) as other:
            await (socket.send_bytes(text) if isinstance(text, bytes) else socket.send_str(text))
            while (await socket.receive(5)).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                pass
            assert (await answer(other, do="freeze", on=True))["ok"]

    with_client(check)


def test_too_many_commands(stage):
    async def check(client):
        async with page(client, stage) as socket:
            for _ in range(30):
                await socket.send_json({"do": "reset"})
            told = [await until(socket, lambda m: m["type"] == "answer") for _ in range(30)]
            assert sum(m["ok"] for m in told) < 20
            assert "too many" in told[-1]["text"]

    with_client(check)


def test_one_page_too_many_is_told_so(stage):
    async def check(client):
        async with AsyncExitStack() as pages:
            for _ in range(MOST_WATCHERS):
                socket = await pages.enter_async_context(page(client, stage))
                await until(socket, lambda m: m["type"] == "hello")
            async with page(client, stage) as one_more:
                message = await one_more.receive(5)
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1013)
                assert "pages watch already" in message.extra
            await socket.close()
            await asyncio.sleep(0.2)
            async with page(client, stage) as another:
                await until(another, lambda m: m["type"] == "hello")

    with_client(check)


def test_it_never_falls_silent(stage):
    async def check(client):
        async with page(client, stage) as socket:
            last = None
            for _ in range(8):
                await until(socket, lambda m: True)
                now = time.monotonic()
                assert last is None or now - last < 0.8
                last = now

    with_client(check)


def test_a_page_that_never_reads_slows_nobody(stage):
    """Writing does not wait for it; it is sent no third picture before it has seen one; another page gets them all."""

    async def check(client):
        async with page(client, stage) as silent, page(client, stage) as other:
            await until(other, lambda m: m["type"] == "hello")
            started = time.monotonic()
            for _ in range(300):
                stage.sink.write(stage.verdict("finding"))
            took = time.monotonic() - started
            assert took < 6
            sequence = stage.sequence
            await until(other, lambda m: m["type"] == "verdict" and m["sequence"] == sequence)
            pictures, newest = 0, 0
            while newest < sequence:
                message = await silent.receive(5)
                if message.type is aiohttp.WSMsgType.BINARY:
                    pictures += 1
                else:
                    newest = max(newest, json.loads(message.data).get("sequence") or 0)
            assert pictures <= 2, "and yet the state that holds arrived"

    with_client(check)


def test_a_socket_that_is_never_read_holds_up_nothing(stage):
    asking = (
        f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{stage.sink.port}\r\nOrigin: http://127.0.0.1:{stage.sink.port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    deaf = plain.socket()
    deaf.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", stage.sink.port))
    deaf.sendall(asking.encode())

    async def check(client):
        async with page(client, stage) as other:
            await until(other, lambda m: m["type"] == "hello")
            for _ in range(100):
                stage.sink.write(stage.verdict("finding"))
                stage.status()
            sequence = stage.sequence
            await until(other, lambda m: m["type"] == "verdict" and m["sequence"] == sequence)

    with_client(check)
    started = time.monotonic()
    stage.close()
    assert time.monotonic() - started < 3
    deaf.close()


def test_who_comes_while_nothing_moves_sees_the_held_image(stage):
    stage.sink.write(stage.verdict("frozen"))

    async def check(client):
        async with page(client, stage) as socket:
            while (await socket.receive(5)).type is not aiohttp.WSMsgType.BINARY:
                pass

    with_client(check)


def test_without_a_page_no_picture_is_made(stage, monkeypatch):
    monkeypatch.setattr(stage.sink, "_take", lambda record: pytest.fail("nobody watches"))
    for _ in range(5):
        stage.sink.write(stage.verdict("finding"))


def test_a_token_lets_in(guarded):
    async def check(client):
        for path, status in (("", 401), ("login.js", 200), ("theme.css", 200), ("main.js", 401), ("nothing", 401)):
            async with client.get(guarded.url + path) as response:
                assert response.status == status, path
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with page(client, guarded):
                pass
        assert refused.value.status == 401
        async with page(client, guarded, Authorization=f"Bearer {TOKEN}") as socket:
            await until(socket, lambda m: m["type"] == "hello")
        async with client.get(f"{guarded.url}login", headers={"Authorization": "Bearer wrong"}) as response:
            assert response.status == 401
        async with client.get(f"{guarded.url}login", headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 204
            cookie = response.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        async with client.get(guarded.url) as response:
            assert response.status == 200
            assert "No signal" in await response.text()
        async with page(client, guarded) as socket:
            await until(socket, lambda m: m["type"] == "hello")

    with_client(check)


@pytest.mark.parametrize("cookie", ["", "wrong", "\u00e4" * 5, "a=b; edge_cns_page="])
def test_a_cookie_that_was_not_given(guarded, cookie):
    async def check(client):
        async with client.get(guarded.url, headers={"Cookie": f"edge_cns_page={cookie}"}) as response:
            assert response.status == 401

    with_client(check)


def test_what_cannot_be_opened(stage):
    with pytest.raises(BadInputError, match="token_file"):
        open_viewer("http://0.0.0.0:0")
    with pytest.raises(BadInputError, match="cannot be listened on"):
        open_viewer(stage.url)


def test_closing_frees_the_port_and_may_be_done_twice(stage):
    port = stage.sink.port
    stage.close()
    stage.sink.close()
    stage.say(RecordType.EVENT, event="late", at_ns=0)
    again = open_viewer(f"http://127.0.0.1:{port}")
    again.close()
