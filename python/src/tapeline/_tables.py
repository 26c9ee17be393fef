"""Tables: zones and types."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pyarrow as pa

if TYPE_CHECKING:
    import polars


def in_zone(schema: pa.Schema, tz: str | None) -> pa.Schema:
    """The schema with its times in another zone: the same instants, shown differently."""
    if tz is None:
        return schema
    fields = [
        field.with_type(pa.timestamp("ns", tz)) if pa.types.is_timestamp(field.type) else field
        for field in schema
    ]
    return pa.schema(fields)


def floats(table: pa.Table) -> pa.Table:
    """The table with decimals as 64-bit floats: faster to compute with, and rounded."""
    fields = [
        field.with_type(pa.float64()) if pa.types.is_decimal(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def to_polars(table: pa.Table) -> polars.DataFrame:
    """The table as a Polars DataFrame; decimals and zones are kept."""
    import polars

    return cast("polars.DataFrame", polars.from_arrow(table))
