"""Every column has the type of docs/exports.md in every reader; times with another zone's offset are the same instants."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest
from conftest import KINDS, ROOT, run

TIMES = {"ts", "recv_ts", "start"}
INTEGERS = {"seq", "trades", "count", "revision"}
BOOLEANS = {"canceled", "final", "complete"}
TEXTS = {"symbol", "series", "feed", "venue", "side", "tape", "id", "interval", "bid_venue", "ask_venue", "value", "type", "unit", "quality", "tags"}

#: Types of each reader: times, integers, booleans, texts, condition codes, decimals.
PYARROW = [pa.timestamp("ns", "UTC"), pa.int64(), pa.bool_(), pa.string(), pa.list_(pa.field("item", pa.string(), nullable=False)), pa.decimal128(38, 18)]
POLARS = [polars.Datetime("ns", "UTC"), polars.Int64(), polars.Boolean(), polars.String(), polars.List(polars.String), polars.Decimal(38, 18)]
DUCKDB = ["TIMESTAMPTZ_NS", "BIGINT", "BOOLEAN", "VARCHAR", "VARCHAR[]", "DECIMAL(38,18)"]
#: pandas has no integers where one is absent, and its own objects for the last three.
PANDAS = ["datetime64[ns, UTC]", "int64|float64", "bool", "object", "object", "object"]


def type_index(column: str) -> int:
    """Its place in the lists of types."""
    for index, names in enumerate((TIMES, INTEGERS, BOOLEANS, TEXTS, {"conditions"})):
        if column in names:
            return index
    return 5


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def documented(kind: str) -> list[str]:
    """The columns in the order of the table."""
    page = (ROOT / "docs/exports.md").read_text()
    row = re.search(rf"^\| {kind.replace('-', ' ')} \| (.*) \|$", page, re.MULTILINE)
    assert row is not None
    names: list[str] = []
    for part in row[1].split(", "):
        if part == "the same with `ask_`":
            names += [name.replace("bid_", "ask_") for name in names if name.startswith("bid_")]
        else:
            names.append(part.strip("`"))
    return names


def test_columns_are_those_of_the_documentation(exports: Path, kind: str) -> None:
    columns = documented(kind)
    wanted = [type_index(column) for column in columns]
    assert pyarrow.feather.read_table(exports / f"{kind}.arrow").schema.types == [PYARROW[index] for index in wanted]
    frames = {"arrow": polars.read_ipc, "arrows": polars.read_ipc_stream, "parquet": polars.read_parquet}
    for ending, read in frames.items():
        frame = read(exports / f"{kind}.{ending}")
        assert frame.columns == columns and frame.dtypes == [POLARS[index] for index in wanted], ending
    with duckdb.connect() as database:
        found = database.sql(f"DESCRIBE SELECT * FROM '{exports / kind}.parquet'").fetchall()
    assert [row[:2] for row in found] == [(column, DUCKDB[index]) for column, index in zip(columns, wanted, strict=True)]
    for rows in (pandas.read_parquet(exports / f"{kind}.parquet"), pandas.read_feather(exports / f"{kind}.arrow")):
        assert list(rows.columns) == columns
        for column, index in zip(columns, wanted, strict=True):
            assert str(rows[column].dtype) in PANDAS[index].split("|"), column
    assert list(pandas.read_csv(exports / f"{kind}.csv", nrows=0).columns) == columns
    # JSON leaves out what is absent, in the same order.
    for line in (exports / f"{kind}.ndjson").read_text().splitlines():
        keys = list(json.loads(line))
        assert keys == [column for column in columns if column in keys]


def test_offsets_are_read_as_the_same_instants(folder: Path, exports: Path, kind: str) -> None:
    symbol, time, _ = KINDS[kind]
    interval = ["--interval", "1s"] if kind == "reading-bars" else []
    for ending in ("csv", "ndjson", "parquet", "arrow"):
        run(folder, "query", kind, symbol, "--tz", "Asia/Kolkata", "--out", f"exports/{kind}-kolkata.{ending}", *interval)
    path = exports / f"{kind}-kolkata"
    table = pyarrow.feather.read_table(exports / f"{kind}.arrow")
    wanted = table.column(time).cast(pa.int64()).to_pylist()
    # These two have no offsets: they are as without `--tz`.
    assert pyarrow.feather.read_table(f"{path}.arrow") == table
    assert pyarrow.parquet.read_table(f"{path}.parquet").cast(table.schema) == table

    def same(times: Any) -> None:
        assert [int(value) for value in pandas.DatetimeIndex(times).tz_convert("UTC").as_unit("ns").asi8] == wanted

    rows = pandas.read_csv(f"{path}.csv", parse_dates=[time])
    assert "+05:30" in str(rows[time].dtype)
    same(rows[time])
    lines = pandas.read_json(f"{path}.ndjson", lines=True, dtype=False, convert_dates=False)
    assert all(text.endswith("+05:30") for text in lines[time])
    same(pandas.to_datetime(lines[time]))
    zoned = pyarrow.csv.ConvertOptions(column_types={time: pa.timestamp("ns", "UTC")})
    same(pyarrow.csv.read_csv(f"{path}.csv", convert_options=zoned).column(time).to_pandas())
    frame = polars.read_csv(f"{path}.csv", infer_schema=False)
    same(frame[time].str.to_datetime(time_unit="ns", time_zone="UTC").to_pandas())
    with duckdb.connect() as database:
        for ending in ("csv", "ndjson"):
            found = database.sql(f"SELECT epoch_us({time}::TIMESTAMPTZ) FROM '{path}.{ending}'").fetchall()
            assert [row[0] for row in found] == [value // 1000 for value in wanted], ending
