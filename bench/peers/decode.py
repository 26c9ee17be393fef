"""How fast Python decodes Alpaca's frames: json alone, and like alpaca-py (MessagePack, one model per trade).

decode.py FILE        one JSON frame per line; prints trades per second of each
"""
import json, sys, time
import msgpack
from alpaca.data.models import Trade

frames = open(sys.argv[1]).read().splitlines()
start, count = time.perf_counter(), 0
for frame in frames:
    for m in json.loads(frame):
        count += 1
print(int(count / (time.perf_counter() - start)), end=" ")


def stamped(m):
    seconds, _, part = m["t"].rstrip("Z").partition(".")
    import datetime
    at = datetime.datetime.fromisoformat(seconds).replace(tzinfo=datetime.timezone.utc)
    return {**m, "t": msgpack.Timestamp(int(at.timestamp()), int((part or "0").ljust(9, "0")))}


# Like alpaca.data.live.websocket: unpackb, timestamps to datetime, a model.
packed = [msgpack.packb([stamped(m) for m in json.loads(frame)]) for frame in frames]
start, count = time.perf_counter(), 0
for data in packed:
    for m in msgpack.unpackb(data, timestamp=3):
        if m["T"] == "t":
            Trade(m["S"], m)
            count += 1
print(int(count / (time.perf_counter() - start)))
