"""pandas, Polars, DuckDB and pyarrow read every export, with right types, zones and values."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet
import pytest
from conftest import KINDS


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def expected(exports: Path, what: str) -> pa.Table:
    return pyarrow.feather.read_table(exports / f"{what}.arrow", memory_map=False)


def nanos(times: Any) -> list[int]:
    return [int(time) for time in pandas.DatetimeIndex(times).tz_convert("UTC").as_unit("ns").asi8]


def check(exports: Path, what: str, times: Any, values: Any) -> None:
    """Times to the nanosecond, and values as numbers, equal those of the Arrow file."""
    _, time, value = KINDS[what]
    table = expected(exports, what)
    assert nanos(times) == table.column(time).cast(pa.int64()).to_pylist()
    wanted = [None if number is None else float(number) for number in table.column(value).to_pylist()]
    found = [None if number is None or number != number else float(number) for number in values]
    assert found == wanted


def test_pyarrow_reads_every_export(exports: Path, kind: str) -> None:
    _, time, value = KINDS[kind]
    table = expected(exports, kind)
    assert table.num_rows > 1
    assert table.schema.field(time).type == pa.timestamp("ns", "UTC")
    table.validate(full=True)
    with pa.ipc.open_stream(exports / f"{kind}.arrows") as stream:
        assert stream.read_all() == table
    # Parquet has another name for the elements of lists, and the same values.
    parquet = pyarrow.parquet.read_table(exports / f"{kind}.parquet")
    assert parquet.cast(table.schema) == table
    texts = pyarrow.csv.ConvertOptions(column_types={time: pa.timestamp("ns", "UTC"), value: pa.string()})
    rows = pyarrow.csv.read_csv(exports / f"{kind}.csv", convert_options=texts)
    assert rows.column_names == table.column_names
    assert rows.schema.field(time).type == pa.timestamp("ns", "UTC")
    check(exports, kind, rows.column(time).to_pandas(), [text or None for text in rows.column(value).to_pylist()])
    lines = pyarrow.json.read_json(exports / f"{kind}.ndjson")
    check(exports, kind, lines.column(time).cast(pa.timestamp("ns", "UTC")).to_pandas(), lines.column(value).to_pylist())


def test_pandas_reads_every_export(exports: Path, kind: str) -> None:
    _, time, value = KINDS[kind]
    columns = pandas.read_csv(exports / f"{kind}.csv", nrows=0).columns
    rows = pandas.read_csv(exports / f"{kind}.csv", parse_dates=[name for name in (time, "recv_ts") if name in columns])
    assert isinstance(rows[time].dtype, pandas.DatetimeTZDtype) and str(rows[time].dtype.tz) == "UTC"
    check(exports, kind, rows[time], rows[value])
    for ending, lines in (("ndjson", True), ("json", False)):
        rows = pandas.read_json(exports / f"{kind}.{ending}", lines=lines, dtype=False, convert_dates=False)
        check(exports, kind, pandas.to_datetime(rows[time]), rows[value])
    for rows in (pandas.read_parquet(exports / f"{kind}.parquet"), pandas.read_feather(exports / f"{kind}.arrow")):
        assert str(rows[time].dtype) == "datetime64[ns, UTC]"
        check(exports, kind, rows[time], rows[value])


def test_polars_reads_every_export(exports: Path, kind: str) -> None:
    _, time, value = KINDS[kind]
    table = expected(exports, kind)
    frames = [
        polars.read_parquet(exports / f"{kind}.parquet"),
        polars.read_ipc(exports / f"{kind}.arrow"),
        polars.read_ipc_stream(exports / f"{kind}.arrows"),
    ]
    for frame in frames:
        assert frame.columns == table.column_names
        assert frame.schema[time] == polars.Datetime("ns", "UTC")
        if value != "value":
            assert frame.schema[value] == polars.Decimal(38, 18)
        check(exports, kind, frame[time].to_pandas(), frame[value].to_list())
    for frame in (
        polars.read_csv(exports / f"{kind}.csv", schema_overrides={value: polars.String}),
        polars.read_ndjson(exports / f"{kind}.ndjson"),
        polars.read_json(exports / f"{kind}.json"),
    ):
        times = frame[time].str.to_datetime(time_unit="ns", time_zone="UTC")
        check(exports, kind, times.to_pandas(), frame[value].to_list())


def test_duckdb_reads_every_export(exports: Path, kind: str) -> None:
    _, time, value = KINDS[kind]
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        for ending in ("parquet", "csv", "ndjson", "json"):
            file = exports / f"{kind}.{ending}"
            kinds = database.sql(f"DESCRIBE SELECT {time}, {value} FROM '{file}'").fetchall()
            if ending == "parquet":
                assert kinds[0][1] == "TIMESTAMPTZ_NS"
                assert kinds[1][1] == ("VARCHAR" if kind == "readings" else "DECIMAL(38,18)")
            rows = database.sql(f"SELECT epoch_us({time}::TIMESTAMPTZ), {value}::VARCHAR FROM '{file}'").fetchall()
            table = expected(exports, kind)
            assert [row[0] for row in rows] == [ns // 1000 for ns in table.column(time).cast(pa.int64()).to_pylist()]
            assert [row[1] and Decimal(row[1]) for row in rows] == [
                row if row is None else Decimal(row) for row in table.column(value).to_pylist()
            ]
        from_arrow = expected(exports, kind)
        [(count, _)] = database.sql(f"SELECT count(*), min({time}) FROM from_arrow").fetchall()
        assert count == from_arrow.num_rows


def test_conditions_can_be_taken_apart(exports: Path) -> None:
    table = expected(exports, "trades")
    lists = table.column("conditions").to_pylist()
    assert {type(codes) for codes in lists} == {list} and any(lists)
    csv = pandas.read_csv(exports / "trades.csv", dtype={"conditions": str})
    assert [text.split("|") if isinstance(text, str) else [] for text in csv.conditions] == lists
    frame = polars.read_parquet(exports / "trades.parquet")
    assert frame["conditions"].to_list() == lists
    with duckdb.connect() as database:
        rows = database.sql(f"SELECT conditions FROM '{exports / 'trades.parquet'}'").fetchall()
    assert [row[0] for row in rows] == lists
