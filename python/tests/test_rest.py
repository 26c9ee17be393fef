"""pyarrow, pandas, Polars and DuckDB read Arrow IPC and Parquet from the REST API: equal to `tapeline query`."""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from conftest import Serving, run

#: Rows as `query` names them, then as the API does.
KINDS = {
    "trades": ("AIG", "trades", {}),
    "quotes": ("IBM", "quotes", {}),
    "bars": ("AIG", "bars", {"interval": "1m"}),
    "quote-bars": ("IBM", "bars", {"interval": "1m", "of": "quotes"}),
}
MEDIA_TYPES = {"arrow": "application/vnd.apache.arrow.stream", "parquet": "application/vnd.apache.parquet"}


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    serving = Serving(folder)
    yield serving.url
    serving.stop()


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def get(url: str, path: str, accept: str = "*/*", **parameters: Any) -> tuple[bytes, Any]:
    request = urllib.request.Request(f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
    request.add_header("Accept", accept)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.read(), reply.headers


def pages(url: str, kind: str, format: str, limit: int) -> Iterator[tuple[bytes, Any]]:
    """The bodies of all pages."""
    symbol, path, parameters = KINDS[kind]
    cursor: str | None = ""
    while cursor is not None:
        given = {**parameters, "cursor": cursor} if cursor else parameters
        body, headers = get(url, path, symbol=symbol, format=format, limit=limit, **given)
        yield body, headers
        cursor = headers["x-next-cursor"]


def expected(folder: Path, kind: str) -> pa.Table:
    """What `query` writes: rows of equal time in the store's order, not in that of pages."""
    file = folder / f"rest-{kind}.arrow"
    run(folder, "query", kind, KINDS[kind][0], "--out", str(file))
    return pyarrow.feather.read_table(file, memory_map=False)


def rows(table: pa.Table) -> list[str]:
    return sorted(repr(row) for row in table.to_pylist())


def read(body: bytes, format: str) -> pa.Table:
    if format == "parquet":
        return pyarrow.parquet.read_table(io.BytesIO(body))
    return pa.ipc.open_stream(body).read_all()


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_every_page_equals_what_query_writes(url: str, folder: Path, kind: str, format: str) -> None:
    wanted = expected(folder, kind)
    for limit in (10_000, 700):
        found = []
        for body, headers in pages(url, kind, format, limit):
            assert headers["content-type"] == MEDIA_TYPES[format]
            found.append(read(body, format))
            assert found[-1].num_rows <= limit
        assert len(found) == -(-wanted.num_rows // limit), "pages are full"
        table = pa.concat_tables(found)
        assert table.schema.equals(wanted.schema) or format == "parquet"
        assert table.column_names == wanted.column_names
        assert rows(table) == rows(wanted)


def test_other_readers_read_it(url: str, folder: Path) -> None:
    wanted = expected(folder, "trades")
    [(stream, _)] = pages(url, "trades", "arrow", 10_000)
    [(file, _)] = pages(url, "trades", "parquet", 10_000)
    for frame in (polars.read_ipc_stream(stream), polars.read_parquet(file)):
        assert frame.schema["price"] == polars.Decimal(38, 18) and frame.schema["ts"] == polars.Datetime("ns", "UTC")
        assert rows(frame.to_arrow().cast(wanted.schema)) == rows(wanted)
    address = f"{url}/api/v1/trades?symbol=AIG&format=parquet&limit=10000"
    frame = pandas.read_parquet(address)
    assert len(frame) == wanted.num_rows and sum(frame["size"]) == sum(wanted.column("size").to_pylist())
    path = folder / "rest.parquet"
    path.write_bytes(file)
    with duckdb.connect() as database:
        [(count, size)] = database.sql(f"SELECT count(*), sum(size) FROM '{path}'").fetchall()
    assert count == wanted.num_rows and size == sum(wanted.column("size").to_pylist())


def test_accept_chooses_the_format(url: str, folder: Path, kind: str) -> None:
    symbol, path, parameters = KINDS[kind]
    for format, media_type in MEDIA_TYPES.items():
        body, headers = get(url, path, accept=f"{media_type}, */*;q=0.1", symbol=symbol, limit=10_000, **parameters)
        assert headers["content-type"] == media_type and "accept" in ", ".join(headers.get_all("vary")).lower()
        assert rows(read(body, format)) == rows(expected(folder, kind))
    body, headers = get(url, path, symbol=symbol, **parameters)
    assert headers["content-type"] == "application/json" and json.loads(body)["rows"]


def test_nothing_is_an_empty_table_with_its_columns(url: str, folder: Path, kind: str) -> None:
    _, path, parameters = KINDS[kind]
    for format in MEDIA_TYPES:
        body, _ = get(url, path, symbol="NONE", format=format, **parameters)
        table = read(body, format)
        assert table.num_rows == 0 and table.column_names == expected(folder, kind).column_names


@pytest.mark.parametrize(
    ("parameters", "detail"),
    [
        ({"format": "orc"}, "unknown variant `orc`"),
        ({"format": "arrow", "tz": "America/New_York"}, "tz: expected none"),
        ({"format": "parquet", "limit": 1_000_000}, "limit: expected at most 10000"),
    ],
)
def test_what_is_not_possible_is_refused(url: str, parameters: dict[str, Any], detail: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        get(url, "trades", symbol="AIG", **parameters)
    assert refusal.value.code == 400 and detail in json.load(refusal.value)["detail"]
