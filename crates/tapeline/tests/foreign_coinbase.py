"""coinbase-advanced-py on our simulator: every trade of the tape over its stream."""
import datetime, json, threading
from foreign_tape import address, same, symbols, total, truth
from coinbase.websocket import WSClient

got = {symbol: [] for symbol in symbols}
numbers, done = [], threading.Event()


def take(text):
    message = json.loads(text)
    numbers.append(message["sequence_num"])
    if message["channel"] != "market_trades":
        return
    for event in message["events"]:
        for t in event["trades"]:
            if event["type"] == "update":
                got[t["product_id"]].append((int(t["trade_id"]), t["time"], float(t["price"]), float(t["size"])))
    if sum(map(len, got.values())) >= total:
        done.set()


client = WSClient(base_url=f"ws://{address}", on_message=take)
client.open()
client.subscribe(product_ids=symbols, channels=["heartbeats", "market_trades"])
done.wait(120)
client.close()
assert numbers == list(range(len(numbers))), "message numbers are not consecutive"


def text(time):
    return time.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"


for symbol in symbols:
    same(got[symbol], [(n, text(at), price, size) for n, at, price, size, _ in truth[symbol]])
print(f"equal: {total} trades", flush=True)
