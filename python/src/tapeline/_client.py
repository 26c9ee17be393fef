"""Commands as functions."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

import pyarrow as pa

from ._program import output, program, running
from ._tables import in_zone

#: A time as the command line takes it, a ``datetime`` or a ``date``; without a zone it is in the zone of ``tz``, else in
#: that of the symbol's exchange.
Time = Union[str, datetime.datetime, datetime.date, None]
#: One symbol or several.
Symbols = Union[str, Sequence[str]]

_DIFFERS = 3
_NANOS = pa.timestamp("ns", "UTC")


@dataclass(frozen=True)
class Verification:
    """The comparison of source, topic and store."""

    #: Whether all sides hold the same records, field for field.
    equal: bool
    #: One row for each kind, symbol and feed: counts and fingerprints on each side.
    table: pa.Table
    #: Remarks: repeats, unreadable messages.
    notes: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.equal


@dataclass(frozen=True)
class Client:
    """Reads the store and topic of a configuration.

    Absent fields are those of ``tapeline.toml`` in ``folder`` (by default the current one) and of the environment.
    """

    #: Configuration file.
    config: str | os.PathLike[str] | None = None
    #: ``sqlite:FILE`` or ``cassandra://HOST[:PORT]/KEYSPACE``.
    store: str | None = None
    #: ``sqlite:FILE`` or ``kafka://HOST:PORT``.
    topic: str | None = None
    #: The source to compare with, for :meth:`verify`.
    source: str | None = None
    #: Folder to run the program in.
    folder: str | os.PathLike[str] | None = None
    #: The program; that of :func:`tapeline.program` if absent.
    program: str | os.PathLike[str] | None = None

    def bars(
        self,
        symbols: Symbols,
        interval: str = "1m",
        start: Time = None,
        end: Time = None,
        *,
        of: str = "trades",
        tz: str | None = None,
        feed: str | None = None,
        policy: str | None = None,
        adjust: str | None = None,
        factors: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Bars in order of their start, one symbol after the other.

        ``start`` is inclusive, ``end`` exclusive. ``of`` is ``trades``, ``quotes`` or ``readings`` (of a series); ``policy`` rebuilds the bars from
        the stored trades (``sip``, ``lean``, ``all``, ``official``); ``adjust`` is ``split`` or ``all`` with the folder
        of factor files ``factors``; ``limit`` is the maximum number of rows of each symbol. Times are in the zone ``tz``
        (UTC if absent), prices exact decimals.
        """
        kinds = {"trades": "bars", "quotes": "quote-bars", "readings": "reading-bars"}
        if of not in kinds:
            raise ValueError(f"of: expected one of {', '.join(kinds)}; found {of!r}")
        more = _flags(interval=interval, policy=policy, adjust=adjust, factors=factors)
        return self._table(kinds[of], symbols, start, end, tz, _flags(feed=feed, limit=limit) + more)

    def trades(
        self,
        symbols: Symbols,
        start: Time = None,
        end: Time = None,
        *,
        tz: str | None = None,
        feed: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Trades in order of event time, one symbol after the other."""
        return self._table("trades", symbols, start, end, tz, _flags(feed=feed, limit=limit))

    def quotes(
        self,
        symbols: Symbols,
        start: Time = None,
        end: Time = None,
        *,
        tz: str | None = None,
        feed: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Quotes in order of event time, one symbol after the other."""
        return self._table("quotes", symbols, start, end, tz, _flags(feed=feed, limit=limit))

    def readings(
        self,
        series: str,
        start: Time = None,
        end: Time = None,
        *,
        tz: str | None = None,
        feed: str | None = None,
        limit: int | None = None,
    ) -> pa.Table:
        """Readings of one series in order of event time. Values are text with their types in a column of their own."""
        return self._table("readings", series, start, end, tz, _flags(feed=feed, limit=limit))

    def batches(
        self,
        what: str,
        symbols: Symbols,
        start: Time = None,
        end: Time = None,
        *,
        tz: str | None = None,
        feed: str | None = None,
        interval: str | None = None,
        limit: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Rows of ``trades``, ``quotes``, ``readings``, ``bars``, ``quote-bars`` or ``reading-bars``, batch by batch, in constant memory."""
        flags = _flags(feed=feed, limit=limit, interval=interval)
        command = self._query(what, symbols, start, end, tz, flags)
        with running(command, self._folder()) as stdout, pa.ipc.open_stream(stdout) as reader:
            schema = in_zone(reader.schema, tz)
            for batch in reader:
                yield batch.cast(schema)

    def gaps(self, *, open_only: bool = False) -> pa.Table:
        """The gap ledger: what live feeds missed, and the proof that it was backfilled."""
        rows = self._json("gaps", *(["--open"] if open_only else []))
        proofs = [row.get("proof") or {} for row in rows]
        columns = {
            "id": pa.array([row["id"] for row in rows], pa.string()),
            "feed": pa.array([row["feed"] for row in rows], pa.string()),
            "symbols": pa.array([row["symbols"] for row in rows], pa.list_(pa.string())),
            "from": _times([row["from"] for row in rows]),
            "to": _times([row.get("to") for row in rows]),
            "cause": pa.array([row["cause"] for row in rows], pa.string()),
            "state": pa.array([row["state"] for row in rows], pa.string()),
            "fetched": pa.array([proof.get("fetched") for proof in proofs], pa.int64()),
            "counted_again": pa.array([proof.get("counted_again") for proof in proofs], pa.int64()),
            "digest": pa.array([proof.get("digest") for proof in proofs], pa.string()),
            "note": pa.array([row.get("note") for row in rows], pa.string()),
        }
        return pa.table(columns)

    def symbols(self, search: str | None = None, *, bars: bool = False) -> pa.Table:
        """Kinds, symbols and feeds in the store, and the span of time that they fill, exact to an hour (readings: a day).

        ``bars`` lists bars instead, with their intervals and the start of the first and the last one.
        """
        rows = self._json("symbols", *_flags(search=search), *(["--bars"] if bars else []))
        texts = ("kind", "symbol", "feed", "interval") if bars else ("kind", "symbol", "feed")
        columns: dict[str, Any] = {name: pa.array([row[name] for row in rows], pa.string()) for name in texts}
        times = ("first", "last") if bars else ("from", "to")
        columns |= {name: _times([row[name] for row in rows]) for name in times}
        return pa.table(columns)

    def verify(self, start: Time = None, end: Time = None) -> Verification:
        """Compares source (if one is named), topic and store, record by record. A difference is a result, not an exception."""
        found = self._json("verify", *_flags(**{"from": _time(start), "to": _time(end)}), also=[_DIFFERS])
        lines, places = found["lines"], found["places"]
        columns: dict[str, Any] = {
            name: pa.array([line[name] for line in lines], pa.string()) for name in ("kind", "symbol", "feed")
        }
        for index, place in enumerate(places):
            columns[place] = pa.array([line["counts"][index] for line in lines], pa.int64())
        for index, place in enumerate(places):
            prints = [line["fingerprints"][index] for line in lines]
            columns[f"{place}_fingerprint"] = pa.array(prints, pa.string())
        columns["equal"] = pa.array([line["equal"] for line in lines], pa.bool_())
        return Verification(found["equal"], pa.table(columns), tuple(found["notes"]))

    def _command(self, *words: str) -> list[str]:
        named = _flags(config=self.config, store=self.store, topic=self.topic, source=self.source)
        return [os.fspath(self.program or program()), *words, *named]

    def _folder(self) -> Path | None:
        return None if self.folder is None else Path(self.folder)

    def _query(
        self, what: str, symbols: Symbols, start: Time, end: Time, tz: str | None, flags: list[str]
    ) -> list[str]:
        names = symbols if isinstance(symbols, str) else ",".join(symbols)
        span = _flags(**{"from": _time(start), "to": _time(end), "tz": tz})
        # The names come last, after `--`: one may begin with a dash.
        return [*self._command("query", "--format", "arrow", "--out", "-", *span, *flags), "--", what, names]

    def _table(
        self, what: str, symbols: Symbols, start: Time, end: Time, tz: str | None, flags: list[str]
    ) -> pa.Table:
        with running(self._query(what, symbols, start, end, tz, flags), self._folder()) as stdout:
            with pa.ipc.open_stream(stdout) as reader:
                table = reader.read_all()
        return table.cast(in_zone(table.schema, tz))

    def _json(self, verb: str, *flags: str, also: Sequence[int] = ()) -> Any:
        _, text = output(self._command(verb, "--format", "json", *flags), self._folder(), also)
        return json.loads(text)


def _times(texts: list[str | None]) -> Any:
    """A column of times."""
    return pa.array(texts, pa.string()).cast(_NANOS)


def _time(time: Time) -> str | None:
    if time is None or isinstance(time, str):
        return time
    # A date, a naive time (in the zone of `tz`) or a time with its offset; pandas' times keep their nanoseconds.
    return time.isoformat()


def _flags(**values: object) -> list[str]:
    """``--name=value`` for each value that is there."""
    given = {name: value for name, value in values.items() if value is not None}
    return [f"--{name}={os.fspath(value) if isinstance(value, os.PathLike) else value}" for name, value in given.items()]
