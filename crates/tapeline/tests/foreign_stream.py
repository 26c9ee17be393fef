"""Alpaca's own client on our server's stream: every trade of the tape as it is published, and the bars of the topic.

Prints `subscribed`, upon which the caller publishes the tape; called as foreign_tape.py says, with the bars of
`tapeline query` as CSV at the end, a file that exists once standard input is closed.
"""
import sys
import threading

import pandas
from alpaca.data.live import StockDataStream
from foreign_tape import address, same, symbols, total, truth

symbol = symbols[0]
trades, bars = [], {}
stream = StockDataStream("key", "secret", url_override=f"ws://{address}/v2/sip")
subscribed = stream._dispatch


async def dispatch(message):
    """Alpaca's client offers no event for the confirmation of a subscription: it only logs it."""
    if message.get("T") == "subscription":
        print("subscribed", flush=True)
    await subscribed(message)


stream._dispatch = dispatch


async def take_trade(trade):
    trades.append((trade.timestamp, trade.price, trade.size, trade.exchange, trade.id))


async def take_bar(bar):
    bars[pandas.Timestamp(bar.timestamp)] = bar


stream.subscribe_trades(take_trade, symbol)
stream.subscribe_bars(take_bar, symbol)
stream.subscribe_updated_bars(take_bar, symbol)
thread = threading.Thread(target=stream.run, daemon=True)
thread.start()
# The caller has published and stored everything.
sys.stdin.read()
ours = pandas.read_csv(sys.argv[5], parse_dates=["start"])
for _ in range(1200):
    if len(trades) >= total and len(bars) >= len(ours):
        break
    thread.join(0.1)
same(sorted(trade[:4] for trade in trades), sorted(trade[1:] for trade in truth[symbol]))
assert len({trade[4] for trade in trades}) == total, "an id came twice"
assert sorted(bars) == list(ours["start"]), f"{len(bars)} bars were received, {len(ours)} are stored"
for theirs, name in [("open", "open"), ("high", "high"), ("low", "low"), ("close", "close"), ("volume", "volume"), ("trade_count", "trades"), ("vwap", "vwap")]:
    got = [getattr(bars[start], theirs) for start in ours["start"]]
    differ = [(start, one, other) for start, one, other in zip(ours["start"], got, ours[name]) if one != other]
    assert not differ, f"{name} differs: {differ[:3]}"
print(f"equal: {len(trades)} trades and {len(bars)} bars by Alpaca's stream client")
