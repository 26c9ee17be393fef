"""Alpaca's own client on our simulator: every trade of the tape over its stream, and again over its REST.

With `crypto` after the date as Alpaca's crypto feed: other classes and addresses, and no venue.
"""
import sys, threading
from alpaca.data.enums import DataFeed
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.requests import CryptoTradesRequest, StockTradesRequest
from foreign_tape import address, date, same, symbols, total, truth

crypto = sys.argv[5:] == ["crypto"]
truth = {
    symbol: [(int(f"{date}{n:08}"), *rest, None if crypto else venue) for n, *rest, venue in trades]
    for symbol, trades in truth.items()
}
if crypto:
    stream = CryptoDataStream("key", "secret", url_override=f"ws://{address}/v1beta3/crypto/us")
else:
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

if crypto:
    client = CryptoHistoricalDataClient("key", "secret", url_override=f"http://{address}")
    reply = client.get_crypto_trades(CryptoTradesRequest(symbol_or_symbols=symbols, start=truth[symbols[0]][0][1]))
else:
    client = StockHistoricalDataClient("key", "secret", url_override=f"http://{address}")
    reply = client.get_stock_trades(StockTradesRequest(symbol_or_symbols=symbols, feed=DataFeed.SIP))
for symbol in symbols:
    same([(t.id, t.timestamp, t.price, t.size, t.exchange) for t in reply.data[symbol]], truth[symbol])
print(f"equal: {total} trades by stream and by history")
