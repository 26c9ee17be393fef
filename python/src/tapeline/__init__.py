"""Recorded markets as Arrow tables.

The package carries the program ``tapeline`` and runs it; every function returns what a command prints, typed::

    import tapeline

    bars = tapeline.bars("SPY", "1m", "2013-10-08T09:30", "2013-10-08T16:00", tz="America/New_York")
    bars.to_pandas()                    # prices are decimal.Decimal
    tapeline.floats(bars).to_pandas()   # prices are floats
    tapeline.to_polars(bars)

``tapeline.toml`` in the current folder, or the environment, names the store, as on the command line. :class:`Client`
names another.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from ._client import Client, Symbols, Time, Verification
from ._live import Event, live
from ._program import TapelineError, program
from ._tables import floats, to_polars

__all__ = [
    "Client",
    "Event",
    "TapelineError",
    "Verification",
    "bars",
    "batches",
    "floats",
    "gaps",
    "live",
    "program",
    "quotes",
    "readings",
    "symbols",
    "to_polars",
    "trades",
    "verify",
]


def bars(
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
    """Bars in order of their start; see :meth:`Client.bars`."""
    return Client().bars(
        symbols,
        interval,
        start,
        end,
        of=of,
        tz=tz,
        feed=feed,
        policy=policy,
        adjust=adjust,
        factors=factors,
        limit=limit,
    )


def trades(
    symbols: Symbols,
    start: Time = None,
    end: Time = None,
    *,
    tz: str | None = None,
    feed: str | None = None,
    limit: int | None = None,
) -> pa.Table:
    """Trades in order of event time; see :meth:`Client.trades`."""
    return Client().trades(symbols, start, end, tz=tz, feed=feed, limit=limit)


def quotes(
    symbols: Symbols,
    start: Time = None,
    end: Time = None,
    *,
    tz: str | None = None,
    feed: str | None = None,
    limit: int | None = None,
) -> pa.Table:
    """Quotes in order of event time; see :meth:`Client.quotes`."""
    return Client().quotes(symbols, start, end, tz=tz, feed=feed, limit=limit)


def readings(
    series: str,
    start: Time = None,
    end: Time = None,
    *,
    tz: str | None = None,
    feed: str | None = None,
    limit: int | None = None,
) -> pa.Table:
    """Readings of one series in order of event time; see :meth:`Client.readings`."""
    return Client().readings(series, start, end, tz=tz, feed=feed, limit=limit)


def batches(
    what: str,
    symbols: Symbols,
    start: Time = None,
    end: Time = None,
    *,
    tz: str | None = None,
    feed: str | None = None,
    limit: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Rows batch by batch, in constant memory; see :meth:`Client.batches`."""
    return Client().batches(what, symbols, start, end, tz=tz, feed=feed, limit=limit)


def gaps(*, open_only: bool = False) -> pa.Table:
    """The gap ledger; see :meth:`Client.gaps`."""
    return Client().gaps(open_only=open_only)


def symbols(search: str | None = None) -> pa.Table:
    """What the store holds; see :meth:`Client.symbols`."""
    return Client().symbols(search)


def verify(start: Time = None, end: Time = None, *, source: str | None = None) -> Verification:
    """Compares source, topic and store; see :meth:`Client.verify`."""
    return Client(source=source).verify(start, end)
