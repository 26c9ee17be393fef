"""Alpaca's own client and pandas on our server: every trade of the tape, and the bars of `tapeline query`."""
import sys

import pandas
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest, StockTradesRequest
from alpaca.data.timeframe import TimeFrame
from foreign_tape import address, same, symbols, total, truth

client = StockHistoricalDataClient("key", "secret", url_override=f"http://{address}")
symbol = symbols[0]
start = min(trade[1] for trade in truth[symbol])
got = client.get_stock_trades(StockTradesRequest(symbol_or_symbols=symbols, start=start)).data[symbol]
# Ids of a tape are text, of which Alpaca's client gets a hash: each is another, and the rest is compared without them.
assert len({trade.id for trade in got}) == len(got)
same(sorted((t.timestamp, t.price, t.size, t.exchange) for t in got), sorted(trade[1:] for trade in truth[symbol]))

# The first bar starts before its first trade.
start = start.replace(second=0, microsecond=0)
bars = client.get_stock_bars(StockBarsRequest(symbol_or_symbols=symbol, timeframe=TimeFrame.Minute, start=start)).df
ours = pandas.read_csv(sys.argv[5], parse_dates=["start"])
rest = pandas.read_csv(f"http://{address}/api/v1/bars?symbol={symbol}&interval=1m&format=csv&limit=10000", parse_dates=["start"])
bars = bars.reset_index()
for theirs, name in [("timestamp", "start"), ("open", "open"), ("high", "high"), ("low", "low"), ("close", "close"), ("volume", "volume"), ("trade_count", "trades"), ("vwap", "vwap")]:
    for frame, column in [(bars, theirs), (rest, name)]:
        assert len(frame) == len(ours) and (frame[column].values == ours[name].values).all(), f"{name} differs: {len(frame)} rows and {len(ours)}, {frame[column].head(2).tolist()} and {ours[name].head(2).tolist()}"
print(f"equal: {total} trades by Alpaca's client, {len(ours)} bars by it and by pandas")
