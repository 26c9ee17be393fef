# %% [markdown]
# # A first look at a recorded day
#
# Run it cell by cell in an editor that knows percent cells (VS Code, PyCharm, Spyder, Jupyter with jupytext), or as a
# script, in a folder that `tapeline demo` has filled: `cd tapeline-demo; python .../first_look.py`.

# %%
import pyarrow.compute as pc

import tapeline

SYMBOL = "SPY"
NEW_YORK = "America/New_York"

# %% What is there?
print(tapeline.symbols().to_pandas())

# %% Bars of the regular session, in exchange time, as a pandas DataFrame of floats
bars = tapeline.bars(SYMBOL, "5m", "2013-10-08T09:30", "2013-10-08T16:00", tz=NEW_YORK)
frame = tapeline.floats(bars).to_pandas().set_index("start")
print(frame[["open", "high", "low", "close", "volume"]].head())
assert len(frame) == 78, "five-minute bars of six and a half hours"

# %% Exact sums: decimals are not rounded
trades = tapeline.trades(SYMBOL, "2013-10-08T09:30", "2013-10-08T16:00", tz=NEW_YORK)
print(trades.num_rows, "trades of", pc.sum(trades.column("size")), "shares")

# %% Volume by venue, with Polars
import polars  # noqa: E402

by_venue = tapeline.to_polars(trades).group_by("venue").agg(polars.col("size").sum()).sort("size", descending=True)
print(by_venue.head())

# %% Batch by batch, for more rows than fit in memory
count = sum(batch.num_rows for batch in tapeline.batches("trades", SYMBOL))
assert count >= trades.num_rows

# %% Can the numbers be trusted? Topic and store hold the same records, and no feed has an open gap.
proof = tapeline.verify()
assert proof.equal and tapeline.gaps(open_only=True).num_rows == 0
print(proof.table.to_pandas())
