"""The archive next to pandas.to_parquet and zipped CSV, on one file of records, in one run.

    python bench/archive.py TAPELINE TAPE [SYMBOLS]

Publishes the trades of a tape folder to an embedded topic, archives it with `tapeline archive` to a folder, exports the same
records as CSV, and has pandas write the same columns as Parquet (its defaults: pyarrow, snappy) and as zipped CSV. Prints seconds,
MB/s of CSV and bytes per trade, and checks by pyarrow that the archive holds the same rows.
"""
import os
import pathlib
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


def run(*arguments):
    start = time.monotonic()
    subprocess.run([program, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


run("produce", "-q", *places)
seconds = run("archive", "-q", *places, "--archive", f"folder:{folder}/a", "--until-end")
files = sorted((folder / "a" / "kind=trades").rglob("*.parquet"))
archived = sum(file.stat().st_size for file in files)
frame = pd.concat([pq.ParquetFile(file).read().to_pandas() for file in files])
count = len(frame)

start = time.monotonic()
frame.to_csv(folder / "trades.csv", index=False)
csv_size = (folder / "trades.csv").stat().st_size
read = pd.read_csv(folder / "trades.csv", dtype={"id": str, "venue": str, "tape": str}, keep_default_na=False)

rows = [("tapeline archive", seconds, archived)]
start = time.monotonic()
read.to_parquet(folder / "pandas.parquet")
rows.append(("pandas.to_parquet, from memory", time.monotonic() - start, (folder / "pandas.parquet").stat().st_size))
start = time.monotonic()
pd.read_csv(folder / "trades.csv").to_parquet(folder / "pandas2.parquet")
rows.append(("pandas.read_csv and to_parquet", time.monotonic() - start, (folder / "pandas2.parquet").stat().st_size))
start = time.monotonic()
read.to_csv(folder / "trades.csv.zip", index=False)
rows.append(("pandas.to_csv, zipped", time.monotonic() - start, (folder / "trades.csv.zip").stat().st_size))

print(f"{count:,} trades, {csv_size:,} bytes as CSV, {len(files)} files, {os.cpu_count()} cores")
for name, seconds, size in rows:
    print(f"{name:32} {seconds:7.2f} s  {csv_size / seconds / 1e6:7.1f} MB/s  {size / count:6.2f} bytes per trade")
again = pq.ParquetFile(folder / "pandas.parquet").read().to_pandas()
assert len(again) == count and (again.ts_ns == frame.ts_ns.reset_index(drop=True)).all()
