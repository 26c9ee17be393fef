"""The live stream: events, reconnects and refusals, from a scripted server and from `tapeline serve`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT, Serving, cut, run

import tapeline
from tapeline._live import parse

#: Events are waited for in numbers, not in seconds: the server sends at least one a second.
MANY = 600


def test_events_are_parsed_by_the_standard() -> None:
    text = ': comment\n\nevent: frame\r\nid: 1-2\r\ndata: {"a":\r\ndata:1}\r\n\r\nid:3\n\nevent: resync\ndata: {}\n\ndata: {"cut": 1}'
    events = list(parse(text.encode().splitlines(keepends=True)))
    assert events == [tapeline.Event("frame", "1-2", {"a": 1}), tapeline.Event("resync", None, {})]


class Script:
    """Replies in order; remembers the requests."""

    def __init__(self, replies: list[tuple[int, dict[str, str], str]]) -> None:
        self.replies = replies
        self.requests: list[tuple[str, dict[str, str]]] = []


@contextmanager
def scripted(*replies: tuple[int, dict[str, str], str]) -> Iterator[tuple[Script, str]]:
    script = Script(list(replies))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            script.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = script.replies.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield script, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def frame(number: int) -> str:
    return f'event: frame\nid: 9-{number}\ndata: {{"trades":[{{"id":"{number}"}}]}}\n\n'


def test_a_lost_connection_continues_after_the_last_event() -> None:
    busy = (503, {"Retry-After": "0"}, "{}")
    with scripted((200, {}, frame(1) + frame(2) + "event: fra"), busy, (200, {}, frame(3))) as (script, url):
        events = tapeline.live("SPY", interval="1m", watch=["SPY", "IBM"], url=url, token="secret")
        assert [next(events).data["trades"][0]["id"] for _ in range(3)] == ["1", "2", "3"]
        assert [headers.get("last-event-id") for _, headers in script.requests] == [None, "9-2", "9-2"]
        path, headers = script.requests[0]
        assert path == "/api/v1/stream?symbol=SPY&interval=1m&watch=SPY%2CIBM"
        assert headers["authorization"] == "Bearer secret"
        assert script.replies == []


def test_the_end_is_the_end_without_reconnecting() -> None:
    with scripted((200, {}, frame(1))) as (script, url):
        assert [event.id for event in tapeline.live(url=url, reconnect=False, last_event_id="9-0")] == ["9-1"]
        assert script.requests[0][1]["last-event-id"] == "9-0"


def test_a_refusal_is_an_error() -> None:
    problem = json.dumps({"title": "Unauthorized", "detail": "a token is required", "hint": "send it"})
    with scripted((401, {}, problem)) as (_, url):
        with pytest.raises(tapeline.TapelineError, match="401: a token is required") as failed:
            next(tapeline.live(url=url))
        assert failed.value.hint == "send it"
    # The server is gone now: it was never there for this client.
    with pytest.raises(tapeline.TapelineError, match="tapeline serve"):
        next(tapeline.live(url=url))


def test_trades_arrive_from_a_server_that_is_restarted(tmp_path: Path) -> None:
    (tmp_path / "tapeline.toml").write_text('topic.url = "sqlite:topic.db"\nstore.url = "sqlite:market.db"\n')
    cut(ROOT / "data/us-equities/tick/aig/20131008_trade.zip", tmp_path / "tape/tick/aig")
    run(tmp_path, "init")
    serving = Serving(tmp_path)
    try:
        events = tapeline.live("AIG", interval="1m", url=serving.url)
        assert any("status" in next(events).data for _ in range(MANY))
        serving.stop()
        serving = Serving(tmp_path, serving.url.removeprefix("http://"))
        # Another process: the id of the last event means nothing to it, which it says.
        assert any(next(events).name == "resync" for _ in range(MANY))
        assert any("status" in next(events).data for _ in range(MANY))
        run(tmp_path, "run", "--source", "tape:tape?symbols=AIG")
        frames = (next(events).data for _ in range(MANY))
        trades = next(data["trades"] for data in frames if "trades" in data)
        assert {trade["symbol"] for trade in trades} == {"AIG"}
        events.close()  # type: ignore[attr-defined]
    finally:
        serving.stop()
    with pytest.raises(tapeline.TapelineError):
        next(tapeline.live(url=serving.url, reconnect=False))
