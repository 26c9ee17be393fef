"""The client gives what the program prints, typed."""

from __future__ import annotations

import csv
import datetime
import io
import zoneinfo
from decimal import Decimal
from pathlib import Path

import pandas
import polars
import pyarrow as pa
import pytest
from conftest import ROOT, ROWS, cut, run

import tapeline

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
KINDS = [
    ("trades", "AIG", []),
    ("quotes", "IBM", []),
    ("readings", "boiler-7.temperature", []),
    ("bars", "AIG", ["--interval", "1m"]),
    ("quote-bars", "IBM", ["--interval", "1m"]),
    ("reading-bars", "boiler-7.temperature", ["--interval", "1s"]),
]


def printed(folder: Path, what: str, symbol: str, *flags: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(run(folder, "query", what, symbol, "--format", "csv", *flags))))


@pytest.mark.parametrize(("what", "symbol", "flags"), KINDS)
def test_every_kind_equals_what_query_prints(
    market: tapeline.Client, folder: Path, what: str, symbol: str, flags: list[str]
) -> None:
    interval = flags[1] if flags else None
    table = pa.Table.from_batches(market.batches(what, symbol, interval=interval))
    rows = printed(folder, what, symbol, *flags)
    assert table.num_rows == len(rows) > 1
    assert table.column_names == list(rows[0])
    for row, line in zip(table.to_pylist(), rows, strict=True):
        for name, text in line.items():
            value = row[name]
            if value is None:
                assert text == "", name
            elif isinstance(value, datetime.datetime):
                # pandas' own type, for its nanoseconds.
                assert pandas.Timestamp(value) == pandas.Timestamp(text), name
            elif isinstance(value, Decimal):
                assert value == Decimal(text), name
            elif isinstance(value, list):
                assert "|".join(value) == text, name
            elif isinstance(value, bool):
                assert str(value).lower() == text, name
            else:
                assert str(value) == text, name


@pytest.mark.parametrize(("what", "symbol", "flags"), KINDS)
def test_every_kind_becomes_a_frame(market: tapeline.Client, what: str, symbol: str, flags: list[str]) -> None:
    batches = market.batches(what, symbol, interval=flags[1] if flags else None, tz="America/New_York")
    table = pa.Table.from_batches(batches)
    rows = table.to_pylist()
    time = table.column_names[0]
    frame = tapeline.to_polars(table)
    assert frame.columns == table.column_names and frame.height == len(rows)
    assert frame.schema[time] == polars.Datetime("ns", "America/New_York")
    # Polars' times have microseconds in Python; the columns keep all digits.
    assert frame[time].to_physical().to_list() == table.column(time).cast(pa.int64()).to_pylist()
    others = [name for name in table.column_names if not pa.types.is_timestamp(table.schema.field(name).type)]
    assert frame.select(others).rows(named=True) == [{name: row[name] for name in others} for row in rows]
    pandas_frame = table.to_pandas()
    assert str(pandas_frame[time].dtype) == "datetime64[ns, America/New_York]"
    assert list(pandas_frame[time]) == [row[time] for row in rows]
    floats = tapeline.floats(table).to_pandas()
    for field in table.schema:
        if pa.types.is_decimal(field.type):
            assert str(floats[field.name].dtype) == "float64"
            assert [None if row[field.name] is None else float(row[field.name]) for row in rows] == [
                None if number != number else number for number in floats[field.name]
            ]


def test_types_are_exact(market: tapeline.Client) -> None:
    trades = market.trades("AIG")
    assert trades.num_rows == ROWS
    schema = trades.schema
    assert schema.field("ts").type == pa.timestamp("ns", "UTC")
    assert schema.field("price").type == pa.decimal128(38, 18)
    assert schema.field("conditions").type == pa.list_(pa.field("item", pa.string(), nullable=False))
    assert schema.field("canceled").type == pa.bool_()
    assert not schema.field("price").nullable and schema.field("side").nullable
    bars = market.bars("AIG", "1m", tz="America/New_York")
    assert bars.schema.field("start").type == pa.timestamp("ns", "America/New_York")
    assert tapeline.floats(bars).schema.field("open").type == pa.float64()
    sides = market.bars("IBM", "1m", of="quotes")
    assert {"bid_open", "ask_close"} <= set(sides.column_names)
    readings = market.bars("boiler-7.temperature", "1m", of="readings")
    assert readings.column("mean").to_pylist() == [Decimal("21.75")]


def test_times_mean_what_they_say(market: tapeline.Client) -> None:
    first = market.trades("AIG", limit=1).column("ts")[0].as_py()
    day = market.trades("AIG", datetime.date(2013, 10, 8), datetime.date(2013, 10, 9))
    assert day.num_rows == ROWS, "the exchange's day"
    naive = pandas.Timestamp(first).tz_convert(NEW_YORK).tz_localize(None)
    for start, tz in [
        (first, None),
        (pandas.Timestamp(first), None),
        (naive, "America/New_York"),
        (naive.isoformat(), "America/New_York"),
        (first.astimezone(NEW_YORK), "UTC"),
    ]:
        assert market.trades("AIG", start, limit=1, tz=tz).column("ts")[0].as_py() == first, (start, tz)
    assert market.trades("AIG", end=first).num_rows == 0
    assert market.trades("AIG", "-1h").num_rows == 0


def test_nothing_is_an_empty_table_with_its_columns(market: tapeline.Client) -> None:
    table = market.trades("NONE")
    assert table.num_rows == 0
    assert table.schema == market.trades("AIG").schema


def test_several_symbols_follow_each_other(market: tapeline.Client) -> None:
    both = market.bars(["AIG", "NONE"], "5m")
    assert both.num_rows > 0 and both == market.bars("AIG", "5m")


def test_a_rebuilt_bar_counts_by_its_policy(market: tapeline.Client) -> None:
    volume = [sum(market.bars("AIG", "1d", policy=policy).column("volume").to_pylist()) for policy in ("all", "lean")]
    assert volume[0] == sum(market.trades("AIG").column("size").to_pylist()) and volume[1] > 0


def test_module_functions_use_the_folders_settings(there: Path) -> None:
    assert tapeline.trades("AIG", limit=2).num_rows == 2
    assert tapeline.quotes("IBM", limit=3).num_rows == 3
    assert tapeline.readings("boiler-7.temperature").column("value").to_pylist() == ["21.5", "22"]
    assert tapeline.bars("AIG", "5m", limit=1).column("interval").to_pylist() == ["5m"]
    assert sum(batch.num_rows for batch in tapeline.batches("trades", "AIG")) == ROWS
    kinds = tapeline.symbols()
    assert kinds.column("kind").to_pylist() == ["trades", "quotes", "readings"]
    assert kinds.schema.field("from").type == pa.timestamp("ns", "UTC")
    assert tapeline.symbols("ai").column("symbol").to_pylist() == ["AIG"]
    minutes = tapeline.bars("AIG", "1m").column("start").to_pylist()
    found = [row for row in tapeline.symbols("ai", bars=True).to_pylist() if row["interval"] == "1m"]
    span = {"first": minutes[0], "last": minutes[-1]}
    assert found == [{"kind": "bars", "symbol": "AIG", "feed": "lean.sip", "interval": "1m", **span}]


def test_gaps_are_a_table_even_if_there_are_none(there: Path) -> None:
    gaps = tapeline.gaps()
    assert gaps.num_rows == 0 and "digest" in gaps.column_names
    assert tapeline.gaps(open_only=True).schema == gaps.schema


def test_verify_is_true_or_tells_what_differs(there: Path) -> None:
    proof = tapeline.verify(source="tape:tape?kinds=trades,quotes")
    assert proof and proof.equal
    assert proof.table.column("source").to_pylist() == proof.table.column("store").to_pylist() == [ROWS, ROWS]
    # A tape with a row less differs, which is a result.
    cut(ROOT / "data/us-equities/tick/aig/20131008_trade.zip", there / "shorter/tick/aig", ROWS - 1)
    differs = tapeline.verify("2013-10-08", "2013-10-09", source="tape:shorter?symbols=AIG")
    assert not differs
    line = differs.table.to_pylist()[0]
    assert (line["source"], line["topic"], line["store"], line["equal"]) == (ROWS - 1, ROWS, ROWS, False)
    assert line["source_fingerprint"] != line["topic_fingerprint"] == line["store_fingerprint"]


def test_errors_carry_message_hint_and_exit_code(market: tapeline.Client, tmp_path: Path) -> None:
    with pytest.raises(tapeline.TapelineError, match="no store file") as failed:
        tapeline.Client(store="sqlite:none.db", folder=tmp_path).trades("AIG")
    assert failed.value.exit_code == 1 and failed.value.hint is not None
    with pytest.raises(tapeline.TapelineError, match="7m") as failed:
        market.bars("AIG", "7m")
    assert failed.value.exit_code == 2 and "Usage" not in str(failed.value)
    with pytest.raises(tapeline.TapelineError, match="is not a time") as failed:
        list(market.batches("trades", "AIG", "noon"))
    with pytest.raises(tapeline.TapelineError, match="start .*nothing") as failed:
        tapeline.Client(program=tmp_path / "nothing").symbols()
    assert failed.value.exit_code is None
    with pytest.raises(ValueError, match="found 'candles'"):
        market.bars("AIG", of="candles")


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TAPELINE_BIN", str(tmp_path / "gone"))
    with pytest.raises(tapeline.TapelineError, match="TAPELINE_BIN names no file"):
        tapeline.program()


def test_a_reader_may_stop_early(market: tapeline.Client) -> None:
    batches = market.batches("trades", "AIG")
    assert next(batches).num_rows == ROWS
    batches.close()  # type: ignore[attr-defined]
