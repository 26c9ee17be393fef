"""Alpaca's own client on our simulator: every trade of the tape over its stream, and a span over its REST.

foreign_alpaca.py HOST:PORT TICK_FOLDER SYMBOL,SYMBOL DATE
"""
import csv, datetime, glob, io, sys, threading, time, zipfile
from alpaca.data.enums import DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import StockTradesRequest

address, ticks, symbols, date = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4]


def tape(symbol):
    with zipfile.ZipFile(f"{ticks}/{symbol.lower()}/{date}_trade.zip") as file:
        rows = csv.reader(io.TextIOWrapper(file.open(file.namelist()[0])))
        # New York is four hours behind UTC in October.
        start = datetime.datetime.strptime(date, "%Y%m%d").replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-4)))
        for row, (ms, price, size, venue, mask, *_) in enumerate(rows, 1):
            yield (int(f"{date}{row:08}"), start + datetime.timedelta(milliseconds=int(ms)), int(price) / 1e4, float(size), venue)


truth = {symbol: sorted(tape(symbol)) for symbol in symbols}
total = sum(map(len, truth.values()))
stream = StockDataStream("key", "secret", feed=DataFeed.SIP, url_override=f"ws://{address}/v2/sip")
got = {symbol: [] for symbol in symbols}


async def take(trade):
    got[trade.symbol].append((trade.id, trade.timestamp, trade.price, trade.size, trade.exchange))
    if sum(map(len, got.values())) == total:
        await stream.stop_ws()


stream.subscribe_trades(take, *symbols)
thread = threading.Thread(target=stream.run, daemon=True)
thread.start()
thread.join(240)
for symbol in symbols:
    assert sorted(got[symbol]) == truth[symbol], (symbol, len(got[symbol]), len(truth[symbol]))

client = StockHistoricalDataClient("key", "secret", url_override=f"http://{address}")
reply = client.get_stock_trades(StockTradesRequest(symbol_or_symbols=symbols, feed=DataFeed.SIP))
for symbol in symbols:
    past = sorted((t.id, t.timestamp, t.price, t.size, t.exchange) for t in reply.data[symbol])
    assert past == truth[symbol], (symbol, len(past), len(truth[symbol]))
print(f"equal: {total} trades by stream and by history")
