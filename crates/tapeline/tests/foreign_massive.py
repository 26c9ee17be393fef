"""Massive's own client on our simulator: every trade of the tape over its stream, and again over its REST, in pages."""
import threading
from foreign_tape import address, date, same, symbols, total, truth
from massive import RESTClient, WebSocketClient

got = {symbol: [] for symbol in symbols}
done = threading.Event()


def row(symbol, trade):
    number, time, price, size, venue = trade
    return f"{date}{number:08}", round(time.timestamp() * 1000), price, size, ord(venue) - 64


def take(messages):
    for m in messages:
        got[m.symbol].append((m.id, m.timestamp, m.price, m.size, m.exchange))
    if sum(map(len, got.values())) >= total:
        done.set()


stream = WebSocketClient(api_key="key", feed=address, market="stocks", secure=False, subscriptions=[f"T.{s}" for s in symbols])
threading.Thread(target=lambda: stream.run(take), daemon=True).start()
done.wait(120)
rest = RESTClient("key", base=f"http://{address}")
for symbol in symbols:
    want = [row(symbol, trade) for trade in truth[symbol]]
    same(got[symbol], want)
    past = [(t.id, t.sip_timestamp // 1_000_000, t.price, t.size, t.exchange) for t in rest.list_trades(symbol, limit=10_000)]
    same(past, want)
print(f"equal: {total} trades by stream and by history", flush=True)
