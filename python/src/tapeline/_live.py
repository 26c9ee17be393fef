"""The live stream of ``tapeline serve``: server-sent events."""

from __future__ import annotations

import http.client
import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ._program import TapelineError

#: The server sends a comment every 10 s: a longer silence is a lost connection.
_SILENCE = 30.0
#: First and longest wait before a reconnect, in seconds.
_BACK_OFF = (0.1, 10.0)


@dataclass(frozen=True)
class Event:
    """What changed.

    ``name`` is ``frame``; ``lagged`` if frames were missed, or ``resync`` if the server does not know the last event: then
    fetch everything again. The data of a frame has some of ``symbols`` (watchlist rows), ``trades``, ``skipped`` (trades
    left out of a busy frame), ``bars``, ``gaps``, ``dead_letters`` and ``status``, each a list.
    """

    name: str
    id: str | None
    data: dict[str, Any]


def live(
    symbol: str | None = None,
    *,
    interval: str | None = None,
    watch: Iterable[str] = (),
    url: str = "http://127.0.0.1:8787",
    token: str | None = None,
    reconnect: bool = True,
    last_event_id: str | None = None,
) -> Iterator[Event]:
    """Changes as they happen, indefinitely, from a running ``tapeline serve``.

    ``symbol`` selects trades, and with ``interval`` bars; ``watch`` selects watchlist rows, all if empty. A lost connection
    is opened again with the id of the last event, so that nothing is missed or repeated; with ``reconnect=False`` it ends
    the iteration. A refusal (an invalid symbol, a wrong token) raises :class:`TapelineError`.
    """
    selection = {"symbol": symbol, "interval": interval, "watch": ",".join(watch) or None}
    query = urllib.parse.urlencode({name: value for name, value in selection.items() if value is not None})
    wait, longest = _BACK_OFF
    connected = False
    while True:
        request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/stream?{query}")
        request.add_header("Accept", "text/event-stream")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        if last_event_id is not None:
            request.add_header("Last-Event-ID", last_event_id)
        retry_after = 0.0
        try:
            with urllib.request.urlopen(request, timeout=_SILENCE) as response:
                connected = True
                for event in parse(response):
                    wait = _BACK_OFF[0]
                    last_event_id = event.id or last_event_id
                    yield event
        except urllib.error.HTTPError as error:
            retry_after = _retry_after(error)
            if error.code != 503 or not reconnect:
                raise _refused(error) from error
        except (OSError, http.client.HTTPException) as error:
            # A server that was never there is a wrong address more often than a restart.
            if not (reconnect and connected):
                raise TapelineError(f"read {url}: {error}", hint="start the server: tapeline serve") from error
        if not reconnect:
            return
        # Many clients of a restarted server do not come back at the same moment.
        time.sleep(max(retry_after, wait * random.uniform(0.75, 1.25)))
        wait = min(2 * wait, longest)


def parse(lines: Iterable[bytes]) -> Iterator[Event]:
    """The events of a stream, by the rules of the HTML standard; an incomplete last one is left out."""
    name, identity, data = "", None, []
    for line in lines:
        field, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "id":
            identity = value
        elif field == "data":
            data.append(value)
        elif not field and not value and line.strip() == b"":
            if data:
                yield Event(name or "message", identity, json.loads("\n".join(data)))
            name, identity, data = "", None, []


def _retry_after(error: urllib.error.HTTPError) -> float:
    try:
        return float(error.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0


def _refused(error: urllib.error.HTTPError) -> TapelineError:
    """The server's problem document as an exception."""
    try:
        problem = json.loads(error.read())
    except (OSError, ValueError):
        problem = {}
    detail = problem.get("detail") or problem.get("title") or error.reason
    return TapelineError(f"{error.code}: {detail}", hint=problem.get("hint"))
