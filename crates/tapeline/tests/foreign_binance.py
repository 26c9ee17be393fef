"""binance-connector on our simulator: every trade of the tape over its combined stream, and over its REST history."""
import json, threading
from foreign_tape import address, same, symbols, total, truth
from binance.spot import Spot
from binance.websocket.spot.websocket_stream import SpotWebsocketStreamClient

got = {symbol: [] for symbol in symbols}
whole = threading.Event()


def heard(_, text):
    message = json.loads(text)
    if "data" in message:
        trade = message["data"]
        got[trade["s"]].append((trade["t"], trade["T"], float(trade["p"]), float(trade["q"])))
        if sum(map(len, got.values())) >= total:
            whole.set()


client = SpotWebsocketStreamClient(stream_url=f"ws://{address}", on_message=heard, is_combined=True)
for symbol in symbols:
    client.trade(symbol=symbol)
whole.wait(120)
client.stop()


def want(symbol):
    return [(n, round(at.timestamp() * 1000), price, size) for n, at, price, size, _ in truth[symbol]]


rest = Spot(base_url=f"http://{address}", api_key="any")
for symbol in symbols:
    same(got[symbol], want(symbol))
    # The number of the first trade, then page by page.
    first = rest.agg_trades(symbol, startTime=want(symbol)[0][1], limit=1)[0]["f"]
    rows = []
    while page := rest.historical_trades(symbol, fromId=first + len(rows), limit=1000):
        rows += [(t["id"], t["time"], float(t["price"]), float(t["qty"])) for t in page]
    same(rows, want(symbol))
print(f"equal: {total} trades by stream and by history", flush=True)
