"""Every message satisfies its JSON Schema, and no damaged one does."""

from __future__ import annotations

import copy
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import ROOT

KINDS = ["trade", "quote", "reading", "bar", "gap", "notice", "forecast"]
TOPICS = {"trades": "trade", "quotes": "quote", "readings": "reading", "bars": "bar"}
#: Messages of which the recorded market has none.
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("trade", {"symbol": "SPY", "feed": "f", "venue": "P", "id": "1", "ts": 1381219200464000000, "recv_ts": 5,
               "price": "-0.5", "size": "0", "side": "buy", "conditions": ["@", "T"], "tape": "B", "seq": 7, "revision": 1,
               "canceled": True}),
    ("quote", {"symbol": "SPY", "feed": "f", "seq": 7, "ts": 1381219200464000000, "recv_ts": 5, "conditions": []}),
    ("reading", {"series": "b.t", "feed": "plant", "seq": 7, "ts": 1381219200464000000, "recv_ts": 5, "type": "float",
                 "value": "1e300", "unit": "°C", "quality": "good", "tags": {"room": "a"}}),
    ("bar", {"symbol": "b.t", "feed": "mqtt", "kind": "reading", "interval": "1m", "start": "2013-10-08T13:30:00Z",
             "first": "-1", "max": "2", "min": "-1", "last": "0.5", "sum": "1.5", "mean": "0.5", "count": 3, "late": 0,
             "revision": 0, "final": True, "complete": True}),
    ("bar", {"symbol": "X", "feed": "f", "kind": "trade", "interval": "1d", "start": "2013-10-08T04:00:00Z", "late": 0,
             "revision": 1, "final": False, "complete": True}),
    ("gap", {"id": "alpaca.sip|1|0", "feed": "alpaca.sip", "symbols": ["SPY"], "from": "2013-10-08T13:31:02.5Z",
             "to": "2013-10-08T13:31:09.1Z", "cause": "the connection was reset", "state": "closed",
             "proof": {"fetched": 812, "counted_again": 812, "digest": "9c"}, "note": "-",
             "offsets": {"topic": "t", "partition": 0, "from": 5, "to": 9}}),
    ("notice", {"feed": "alpaca.sip", "symbol": "IONM", "what": "bands", "ts": "2022-04-06T20:06:09.9Z", "upper": "3.24",
                "lower": "2.65", "indicator": "B"}),
    ("notice", {"feed": "alpaca.sip", "symbol": "IONM", "what": "halted", "ts": "2022-04-06T20:06:10.1Z"}),
    ("forecast", {"symbol": "SPY", "interval": "1d", "feed": "f", "made_at": "2013-10-08T20:00:00Z", "target": "return",
                  "horizon": 1, "model": "random_walk", "version": "1-0123456789ab", "verdict": "", "close": 167.5,
                  "point": 0.0, "baseline": 0.0}),
]  # fmt: skip


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    schemas = {kind: json.loads((ROOT / f"docs/schemas/{kind}.json").read_text()) for kind in KINDS}
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    return {kind: jsonschema.Draft202012Validator(schema) for kind, schema in schemas.items()}


def kind_of(message: dict[str, Any]) -> str:
    if "series" in message:
        return "reading"
    if "made_at" in message:
        return "forecast"
    if "interval" in message:
        return "bar"
    return "trade" if "price" in message else "quote"


def documented() -> Iterator[tuple[str, dict[str, Any]]]:
    """The messages shown in docs/messages.md."""
    text = (ROOT / "docs/messages.md").read_text()
    for block in re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            message = json.loads(line)
            yield kind_of(message), message


def recorded(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every message of the recorded market's topics, as it is in the file."""
    with sqlite3.connect(folder / "topic.db") as database:
        query = "SELECT topics.name, payload FROM messages JOIN topics ON topics.id = messages.topic"
        for name, payload in database.execute(query):
            kind = TOPICS.get(name.partition(".")[2])
            if kind is not None:
                yield kind, json.loads(payload)


def goldens() -> list[tuple[str, dict[str, Any]]]:
    return [*documented(), *OTHERS]


def test_every_message_is_valid(schemas: dict[str, Any], folder: Path) -> None:
    seen = set()
    for kind, message in [*goldens(), *recorded(folder)]:
        schemas[kind].validate(message)
        seen.add(kind)
    assert seen == set(KINDS)
    assert {kind for kind, _ in recorded(folder)} == set(TOPICS.values())


def damaged(message: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The message with one thing wrong."""
    variants = schema.get("oneOf", [schema])
    required = set.intersection(*(set(variant["required"]) for variant in variants))
    for name, value in message.items():
        if name in required:
            yield f"without {name}", {key: other for key, other in message.items() if key != name}
        wrong: list[Any] = [None, {"x": 1}, "0.5" if isinstance(value, float) else 0.5]
        if isinstance(value, str):
            wrong.append(7)
            if re.fullmatch(r"-?[0-9.]+", value) and name not in ("id", "bid_venue", "ask_venue", "value"):
                wrong += ["", "1.50", "01", "1e3", "+1", ".5", "1,5", "-0"]
        elif isinstance(value, bool):
            wrong += ["true", 1]
        elif isinstance(value, int):
            wrong += [str(value), 2**64]
        elif isinstance(value, list):
            wrong += ["a", [1]]
        for other in wrong:
            if name == "tags" and other == {"x": 1}:
                other = {"x": ""} | {"": "y"}
            yield f"{name} = {other!r}", message | {name: other}
    yield "an unknown field", message | {"colour": "red"}


def test_no_damaged_message_is_valid(schemas: dict[str, Any]) -> None:
    count = 0
    for kind, message in goldens():
        for what, bad in damaged(copy.deepcopy(message), schemas[kind].schema):
            assert not schemas[kind].is_valid(bad), f"{kind} with {what}: {bad}"
            count += 1
    assert count > 300


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("trade", {"side": "both"}, "both"),
        ("trade", {"size": "-1"}, "-1"),
        ("trade", {"revision": 0}, "0"),
        ("trade", {"ts": 0}, "0"),
        ("trade", {"conditions": ['a"b']}, "a"),
        ("quote", {"bid": "1"}, "bid_size"),
        ("reading", {"type": "integer", "value": "1.5"}, "1.5"),
        ("reading", {"type": "boolean", "value": "yes"}, "yes"),
        ("reading", {"tags": {}}, "tags"),
        ("bar", {"open": "1"}, "oneOf"),
        ("bar", {"kind": "quote", "bid_open": "1"}, "oneOf"),
        ("gap", {"state": "lost"}, "lost"),
        ("notice", {"what": "halted", "upper": "1"}, "upper"),
        ("forecast", {"low_90": -0.1}, "high_90"),
        ("forecast", {"loss": 0.1}, "truth"),
        ("forecast", {"target": "price"}, "price"),
        ("forecast", {"close": 0.0}, "0"),
    ],
)
def test_what_belongs_together_is_checked(
    schemas: dict[str, Any], kind: str, change: dict[str, Any], reason: str
) -> None:
    message = next(message for other, message in reversed(goldens()) if other == kind)
    schemas[kind].validate(message)
    errors = [error.message + error.json_path + str(error.validator) for error in schemas[kind].iter_errors(message | change)]
    assert errors and any(reason in error for error in errors), errors
