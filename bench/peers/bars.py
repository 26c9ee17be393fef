"""Bars as other tools build them.

bars.py pandas TAPE            resample of trades in memory to six intervals; rows per second, excluding reading
bars.py window KAFKA TOPIC S   a tumbling window over a topic as stream processors in Python do it: one dict update a
                               message and interval; messages per second, for S seconds
"""
import glob, json, sys, time, zipfile
from decimal import Decimal

INTERVALS = {"1s": 1, "1min": 60, "5min": 300, "15min": 900, "1h": 3600, "1D": 86400}


def resample(tape):
    import pandas as pd

    frames = []
    for path in sorted(glob.glob(f"{tape}/tick/*/*_trade.zip")):
        date = pd.Timestamp(path.rsplit("/", 1)[1][:8], tz="America/New_York")
        frame = pd.read_csv(path, header=None, usecols=[0, 1, 2], names=["ms", "price", "size"])
        frame.index = date + pd.to_timedelta(frame.ms, unit="ms")
        frames.append(frame[["price", "size"]])
    rows, start = sum(map(len, frames)), time.perf_counter()
    for frame in frames:
        frame["notional"] = frame.price * frame["size"]
        for interval in INTERVALS:
            window = frame.resample(interval)
            bars = window.price.ohlc()
            bars["volume"], bars["notional"], bars["trades"] = window["size"].sum(), window.notional.sum(), window.price.count()
            bars[bars.trades > 0]
    return rows / (time.perf_counter() - start)


def window(kafka, topic, seconds):
    from kafka import KafkaConsumer

    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, group_id=f"py-{time.time()}", auto_offset_reset="earliest",
                             value_deserializer=json.loads)
    bars, count, start = {}, 0, None
    for message in consumer:
        start = start or time.perf_counter()
        t = message.value
        price, size = Decimal(t["price"]), Decimal(t["size"])
        for name, width in INTERVALS.items():
            key = t["symbol"], name, t["ts"] // (width * 10**9)
            bar = bars.get(key)
            if bar is None:
                bars[key] = [price, price, price, price, size, price * size, 1]
            else:
                bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
                bar[4] += size
                bar[5] += price * size
                bar[6] += 1
        count += 1
        if count % 100 == 0 and time.perf_counter() - start > float(seconds):
            return count / (time.perf_counter() - start)


print(int({"pandas": resample, "window": window}[sys.argv[1]](*sys.argv[2:])))
