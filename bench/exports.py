"""Export rate and memory on ten million trades, compared with pandas and DuckDB, in one run on one machine.

    cargo build --release -p tapeline
    target/python-client/bin/python bench/exports.py [--tapeline target/release/tapeline] [--dir target/exports] [--copies 16]
        [--programs tapeline,pandas,duckdb]

The store is the demo's day, copied under other feeds: 654,140 trades sixteen times. Each program runs in a process of its own;
the times are wall times of the whole process, the memory its peak (resident).

tapeline and pandas read the same SQLite store (pandas in chunks of 65,536 rows, for all at once do not fit in memory); DuckDB,
whose SQLite extension is a separate download, reads the Parquet file that tapeline wrote, which is easier.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

SYMBOLS = "SPY,BAC,IBM,AIG"
COLUMNS = "ts, symbol, feed, venue, price, size, side, conditions, tape, id, seq, recv_ts, revision, canceled"

PANDAS = f"""
import decimal, json, sqlite3, sys
import pandas as pd, pyarrow as pa, pyarrow.parquet
store, out = sys.argv[1:]
query = "SELECT {COLUMNS} FROM trades ORDER BY symbol, ts, feed, venue, id"
types = pa.schema([("ts", pa.timestamp("ns", "UTC")), ("symbol", pa.string()), ("feed", pa.string()), ("venue", pa.string()),
    ("price", pa.decimal128(38, 18)), ("size", pa.decimal128(38, 18)), ("side", pa.string()), ("conditions", pa.list_(pa.string())),
    ("tape", pa.string()), ("id", pa.string()), ("seq", pa.int64()), ("recv_ts", pa.timestamp("ns", "UTC")),
    ("revision", pa.int64()), ("canceled", pa.bool_())])
writer, first = None, True
for rows in pd.read_sql_query(query, sqlite3.connect(store), chunksize=65536):
    for name in ("ts", "recv_ts"):
        rows[name] = pd.to_datetime(rows[name], utc=True)
    rows["canceled"] = rows["canceled"] != 0
    codes = rows["conditions"].map(json.loads)
    if out.endswith(".csv"):
        rows["conditions"] = codes.map("|".join)
        rows.to_csv(out, mode="w" if first else "a", header=first, index=False)
        first = False
        continue
    rows["conditions"] = codes
    for name in ("price", "size"):
        rows[name] = rows[name].map(decimal.Decimal)
    table = pa.Table.from_pandas(rows, schema=types, preserve_index=False)
    if writer is None:
        writer = (pa.parquet.ParquetWriter if out.endswith(".parquet") else pa.ipc.new_file)(out, types)
    writer.write_table(table)
if writer is not None:
    writer.close()
"""

DUCKDB = """
import sys, duckdb, pyarrow as pa
source, out = sys.argv[1:]
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
if out.endswith(".arrow"):
    reader = database.sql(f"SELECT * FROM '{source}'").to_arrow_reader(65536)
    with pa.ipc.new_file(out, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
else:
    select = "*" if out.endswith(".parquet") else "* REPLACE (array_to_string(conditions, '|') AS conditions)"
    database.execute(f"COPY (SELECT {select} FROM '{source}') TO '{out}'")
"""


def fill(program: Path, folder: Path, copies: int) -> Path:
    """The demo's store with its trades under further feeds."""
    store = folder / f"market-{copies}.db"
    if store.exists():
        return store
    subprocess.run([program, "demo", "--dir", folder / "demo"], check=True, stdout=subprocess.DEVNULL)
    part = store.with_suffix(".part")
    shutil.copy(folder / "demo/market.db", part)
    with sqlite3.connect(part) as database:
        database.execute("PRAGMA synchronous = off")
        columns = [row[1] for row in database.execute("PRAGMA table_info(trades)")]
        # By SQL alone: what this process once held counts as peak memory of the programs that it starts.
        values = ", ".join("?" if column == "feed" else column for column in columns)
        for copy in range(1, copies):
            database.execute(f"INSERT INTO trades SELECT {values} FROM trades WHERE feed = 'lean.sip'", (f"lean.sip.{copy}",))
            database.execute(
                "INSERT INTO directory SELECT kind, symbol, ?, first, last FROM directory WHERE kind = 'trade' AND feed = 'lean.sip'",
                (f"lean.sip.{copy}",),
            )
    database.close()
    part.rename(store)
    return store


def measure(name: str, rows: int, out: Path, command: list[object]) -> None:
    start = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{name} failed: {process.returncode}")
    size = out.stat().st_size / 1e6
    cpu = usage.ru_utime + usage.ru_stime
    print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {rows / seconds:,.0f} | {usage.ru_maxrss / 1024:,.0f} | {size:,.0f} |", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Export rate and memory, compared with pandas and DuckDB")
    arguments.add_argument("--tapeline", type=Path, default=Path("target/release/tapeline"))
    arguments.add_argument("--dir", type=Path, default=Path("target/exports"))
    arguments.add_argument("--copies", type=int, default=16)
    arguments.add_argument("--programs", default="tapeline,pandas,duckdb", help="DuckDB reads what tapeline wrote")
    options = arguments.parse_args()
    programs = options.programs.split(",")
    folder = options.dir.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    store = fill(options.tapeline.resolve(), folder, options.copies)
    with sqlite3.connect(store) as database:
        rows = database.execute("SELECT count(*) FROM trades").fetchone()[0]
    print(f"{rows:,} trades, {store.stat().st_size / 1e6:,.0f} MB of SQLite, {os.cpu_count()} cores")
    print("| export | seconds | CPU seconds | rows per second | peak MiB | file, MB |\n|---|--:|--:|--:|--:|--:|", flush=True)
    for ending in ("csv", "ndjson", "parquet", "arrow") if "tapeline" in programs else ():
        out = folder / f"tapeline.{ending}"
        query = [options.tapeline.resolve(), "query", "trades", SYMBOLS, "--store", f"sqlite:{store}", "--out", out]
        measure(f"tapeline {ending}", rows, out, query)
        if ending not in ("parquet", "csv"):
            out.unlink()
    source = folder / "tapeline.parquet"
    for name, script, read in (("pandas", PANDAS, store), ("DuckDB, from Parquet,", DUCKDB, source)):
        if name.split(",")[0].lower() not in programs:
            continue
        for ending in ("csv", "parquet", "arrow"):
            out = folder / f"peer.{ending}"
            measure(f"{name} {ending}", rows, out, [sys.executable, "-c", script, read, out])
            out.unlink()


if __name__ == "__main__":
    main()
