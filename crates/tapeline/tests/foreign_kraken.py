"""python-kraken-sdk on our simulator: every trade of the tape over its stream."""
import asyncio, datetime
from foreign_tape import address, same, symbols, total, truth
from kraken.spot import SpotWSClient

got = {symbol: [] for symbol in symbols}


class Client(SpotWSClient):
    async def on_message(self, message):
        if message.get("channel") == "trade":
            for t in message["data"]:
                got[t["symbol"]].append((t["trade_id"], t["timestamp"], t["price"], t["qty"]))


async def main():
    client = Client(ws_url=f"ws://{address}/v2")
    await client.start()
    await client.subscribe(params={"channel": "trade", "symbol": symbols})
    for _ in range(1200):
        if sum(map(len, got.values())) >= total:
            break
        await asyncio.sleep(0.1)
    await client.close()


asyncio.run(main())


def text(time):
    return time.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".") + "Z"


for symbol in symbols:
    same(got[symbol], [(n, text(at), price, size) for n, at, price, size, _ in truth[symbol]])
print(f"equal: {total} trades", flush=True)
