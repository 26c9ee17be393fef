"""finnhub-python on our simulator. It has no stream: that is read with the websockets library; then a day of ticks by it."""
import asyncio, datetime, json
import finnhub, websockets
from foreign_tape import address, same, symbols, total, truth

got = {symbol: [] for symbol in symbols}


async def main():
    async with websockets.connect(f"ws://{address}/?token=key") as socket:
        for symbol in symbols:
            await socket.send(json.dumps({"type": "subscribe", "symbol": symbol}))
        while sum(map(len, got.values())) < total:
            message = json.loads(await asyncio.wait_for(socket.recv(), 60))
            for t in message.get("data", []):
                got[t["s"]].append((t["t"], t["p"], t["v"]))


asyncio.run(main())
finnhub.Client.API_URL = f"http://{address}/api/v1"
client = finnhub.Client(api_key="key")
for symbol in symbols:
    want = [(round(at.timestamp() * 1000), price, size) for _, at, price, size, _ in truth[symbol]]
    same(got[symbol], want)
    date, past = truth[symbol][0][1].strftime("%Y-%m-%d"), []
    while not past or len(past) < page["total"]:
        page = client.stock_tick(symbol, date, 25_000, len(past))
        past += zip(page["t"], page["p"], page["v"])
    same(past, want)
    assert client.quote(symbol)["c"] == want[-1][1]
print(f"equal: {total} trades", flush=True)
