"""pandas on our exports: types, zones and values of trades.csv, trades.ndjson and, where pyarrow is installed, trades.parquet
in the folder of the first argument."""

import importlib.util
import sys
from decimal import Decimal

import pandas

folder = sys.argv[1]
csv = pandas.read_csv(f"{folder}/trades.csv", parse_dates=["ts", "recv_ts"], dtype={"conditions": str})
assert str(csv.ts.dtype) == str(csv.recv_ts.dtype) == "datetime64[ns, UTC]", csv.dtypes
codes = csv.conditions.fillna("")
lines = pandas.read_json(f"{folder}/trades.ndjson", lines=True, dtype=False)
assert len(lines) == len(csv) > 0
assert (pandas.to_datetime(lines.ts) == csv.ts).all() and (lines.price.map(float) == csv.price).all()
assert (lines.conditions.map("|".join) == codes).all()
read = "csv, ndjson"
if importlib.util.find_spec("pyarrow"):
    parquet = pandas.read_parquet(f"{folder}/trades.parquet")
    assert list(parquet.columns) == list(csv.columns), parquet.columns
    assert (parquet.ts == csv.ts).all() and (parquet.recv_ts == csv.recv_ts).all()
    assert isinstance(parquet.price[0], Decimal) and (parquet.price.map(float) == csv.price).all()
    assert (parquet.conditions.map("|".join) == codes).all()
    read += ", parquet"
print(f"equal: {len(csv)} trades in {read}")
