"""Alpaca's own client on our simulator: every trade of the tape over its stream, and again over its REST."""
import threading
from alpaca.data.enums import DataFeed
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.live import StockDataStream
from alpaca.data.requests import StockTradesRequest
from foreign_tape import address, date, same, symbols, total, truth

truth = {symbol: [(int(f"{date}{n:08}"), *rest) for n, *rest in trades] for symbol, trades in truth.items()}
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
    same(got[symbol], truth[symbol])

client = StockHistoricalDataClient("key", "secret", url_override=f"http://{address}")
reply = client.get_stock_trades(StockTradesRequest(symbol_or_symbols=symbols, feed=DataFeed.SIP))
for symbol in symbols:
    same([(t.id, t.timestamp, t.price, t.size, t.exchange) for t in reply.data[symbol]], truth[symbol])
print(f"equal: {total} trades by stream and by history")
