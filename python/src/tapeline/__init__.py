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

from ._client import Client, Time, Verification
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


_default = Client()

bars = _default.bars
trades = _default.trades
quotes = _default.quotes
readings = _default.readings
batches = _default.batches
gaps = _default.gaps
symbols = _default.symbols


def verify(start: Time = None, end: Time = None, *, source: str | None = None) -> Verification:
    """Compares source, topic and store; see :meth:`Client.verify`."""
    return Client(source=source).verify(start, end)
