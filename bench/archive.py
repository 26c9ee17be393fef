"""The archive next to pandas.to_parquet and zipped CSV, on one file of records, in one run.

    python bench/archive.py TAPELINE TAPE [SYMBOLS]

Publishes the trades of a tape folder to an embedded topic, archives it with `tapeline archive` to a folder, exports the same
records as CSV, and has pandas write the same columns as Parquet (its defaults: pyarrow, snappy) and as zipped CSV. Prints seconds
of wall clock and of CPU, MB of CSV per second of CPU, and bytes per trade, and checks by pyarrow that the archive holds the
same rows.
"""
import decimal
import json
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

import pandas as pd
import pyarrow.parquet as pq

program, tape = sys.argv[1], sys.argv[2]
symbols = sys.argv[3] if len(sys.argv) > 3 else ""
folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-archive-"))
source = f"tape:{tape}?kinds=trades&speed=max" + (f"&symbols={symbols}" if symbols else "")
places = ["--source", source, "--topic", f"sqlite:{folder}/t.db", "--store", f"sqlite:{folder}/s.db"]


def measured(work):
    """Seconds of wall clock and of CPU, those of child processes included."""
    def spent():
        return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

    start, before = time.monotonic(), spent()
    work()
    return time.monotonic() - start, spent() - before


def run(*arguments):
    return measured(lambda: subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL))


run("produce", "-q", *places)
seconds = run("archive", "-q", *places, "--archive", f"folder:{folder}/a", "--until-end")
files = sorted((folder / "a" / "kind=trades").rglob("*.parquet"))
archived = sum(file.stat().st_size for file in files)
frame = pd.concat([pq.ParquetFile(file).read().to_pandas() for file in files])
count = len(frame)

frame.to_csv(folder / "trades.csv", index=False)
csv_size = (folder / "trades.csv").stat().st_size
read = pd.read_csv(folder / "trades.csv", dtype={"id": str, "venue": str, "tape": str}, keep_default_na=False)
kept = pd.concat([pq.ParquetFile(file).read().to_pandas() for file in files], ignore_index=True)


def same_task(path):
    """The messages of the topic as exact columns, by symbol and time: what `tapeline archive` does, but its checks."""
    messages = sqlite3.connect(folder / "t.db").execute("SELECT number, offset, stamp_ms, payload FROM messages")
    records = []
    for number, offset, stamp_ms, payload in messages:
        record = json.loads(payload)
        record.update(topic_partition=number, topic_offset=offset, topic_ms=stamp_ms)
        record["price"], record["size"] = decimal.Decimal(record["price"]), decimal.Decimal(record["size"])
        record["conditions"] = json.dumps(record["conditions"])
        records.append(record)
    pd.DataFrame(records).sort_values(["symbol", "ts", "topic_offset"]).to_parquet(path)


rows = [("tapeline archive", seconds, archived)]
for name, file, work in [
    ("pandas, the topic's messages to_parquet", "topic.parquet", same_task),
    ("pandas.to_parquet, floats from memory", "floats.parquet", lambda path: read.to_parquet(path)),
    ("pandas.to_parquet, decimals from memory", "decimals.parquet", lambda path: kept.to_parquet(path)),
    ("pandas.read_csv and to_parquet", "csv.parquet", lambda path: pd.read_csv(folder / "trades.csv").to_parquet(path)),
    ("pandas.to_csv, zipped", "trades.csv.zip", lambda path: read.to_csv(path, index=False)),
]:
    path = folder / file
    rows.append((name, measured(lambda: work(path)), path.stat().st_size))

print(f"{count:,} trades, {csv_size:,} bytes as CSV, {len(files)} files, {os.cpu_count()} cores")
for name, (wall, cpu), size in rows:
    print(f"{name:40} {wall:7.2f} s  {cpu:7.2f} s CPU  {csv_size / cpu / 1e6:7.1f} MB/s CPU  {size / count:6.2f} bytes per trade")
again = pq.ParquetFile(folder / "decimals.parquet").read().to_pandas()
assert len(again) == count and (again.ts_ns == frame.ts_ns.reset_index(drop=True)).all()
shutil.rmtree(folder)
