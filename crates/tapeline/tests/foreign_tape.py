"""The tape's trades, read by independent code: (number, time, price, size, venue), one list per symbol.

Scripts are called as: foreign_VENDOR.py HOST:PORT TICK_FOLDER SYMBOL,SYMBOL DATE
"""
import csv, datetime, io, sys, zipfile

address, ticks, symbols, date = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4]


def tape(symbol):
    with zipfile.ZipFile(f"{ticks}/{symbol.lower()}/{date}_trade.zip") as file:
        rows = csv.reader(io.TextIOWrapper(file.open(file.namelist()[0])))
        # New York is four hours behind UTC in October.
        start = datetime.datetime.strptime(date, "%Y%m%d").replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-4)))
        for row, (ms, price, size, venue, *_) in enumerate(rows, 1):
            yield row, start + datetime.timedelta(milliseconds=int(ms)), int(price) / 1e4, float(size), venue


truth = {symbol: list(tape(symbol)) for symbol in symbols}
total = sum(map(len, truth.values()))


def same(got, want):
    """Fails with the first difference."""
    for a, b in zip(got, want):
        assert a == b, f"received {a}, the tape holds {b}"
    assert len(got) == len(want), f"received {len(got)}, the tape holds {len(want)}"
