"""Reads everything that tapeline wrote with independent clients and compares it with the tape; then runs the examples of
docs/messages.md as written, but for addresses and names.

usage: foreign_clients.py KAFKA CASSANDRA NAME TAPE SYMBOL…
"""
import csv, io, json, re, sys, zipfile
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from cassandra.cluster import Cluster
from kafka import KafkaConsumer, TopicPartition

kafka, cassandra, name, tape, *symbols = sys.argv[1:]
epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
midnight = datetime(2013, 10, 8, tzinfo=ZoneInfo("America/New_York"))
start_ns = int((midnight - epoch).total_seconds()) * 10**9

want = set()
for symbol in symbols:
    archive = zipfile.ZipFile(Path(tape) / "tick" / symbol.lower() / "20131008_trade.zip")
    text = archive.read(archive.namelist()[0]).decode()
    for number, (ms, price, size, venue, mask, suspicious) in enumerate(csv.reader(io.StringIO(text)), 1):
        codes = (mask, "suspicious") if suspicious == "1" else (mask,)
        price = Decimal(price) / 10000
        want.add((symbol, start_ns + int(ms) * 10**6, venue, f"20131008{number:08}", price, Decimal(size), codes))

host, port = cassandra.split(":")
session = Cluster([host], port=int(port)).connect(name)
rows = []
for r in session.execute("SELECT symbol, hour, ts, venue, id, price, size, conditions, feed FROM trades"):
    ns = (r.hour.replace(tzinfo=timezone.utc) - epoch) // timedelta(days=1) * 86400 * 10**9 + r.ts.nanosecond_time
    assert r.feed == "lean.sip", r
    rows.append((r.symbol, ns, r.venue, r.id, r.price, r.size, tuple(r.conditions)))
assert len(rows) == len(want), (len(rows), len(want))
assert set(rows) == want, list(set(rows) ^ want)[:4]

consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
parts = [TopicPartition(f"{name}.trades", p) for p in sorted(consumer.partitions_for_topic(f"{name}.trades"))]
consumer.assign(parts)
consumer.seek_to_beginning(*parts)
ends = consumer.end_offsets(parts)
messages = []
while any(consumer.position(p) < ends[p] for p in parts):
    for batch in consumer.poll(timeout_ms=1000).values():
        for m in batch:
            t = json.loads(m.value)
            assert m.key.decode() == t["symbol"] and not m.headers, m
            assert t["recv_ts"] // 10**6 == m.timestamp
            messages.append((t["symbol"], t["ts"], t["venue"], t["id"], Decimal(t["price"]), Decimal(t["size"]),
                             tuple(t["conditions"])))
assert len(messages) == len(want) and set(messages) == want

page = (Path(__file__).parents[3] / "docs/messages.md").read_text()
examples = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
assert len(examples) == 2, len(examples)
shown = {}
for example in examples:
    exec(example.replace("127.0.0.1:9092", kafka).replace('"tapeline.trades"', f'"{name}.trades"'), shown)
assert shown["price"] in {row[4] for row in rows}, shown["price"]
times = {(message[0], message[3]): message[1] for message in messages}
for r in session.execute("SELECT symbol, id, hour, ts, recv_ts FROM trades LIMIT 1000"):
    assert shown["nanoseconds"](r.hour, r.ts) == times[r.symbol, r.id], r
    assert 0 < shown["received"](r.recv_ts) < 2**63, r
# The statement for cqlsh, but for the names.
[statement] = re.findall(r"^```\ncqlsh> (.*?;)$", page, re.MULTILINE | re.DOTALL)
statement = statement.replace("FROM tapeline.", f"FROM {name}.").replace("'SPY'", f"'{symbols[0]}'")
assert name in statement and symbols[0] in statement, statement
assert len(list(session.execute(statement))) == 3, statement
print(f"{len(rows)} rows equal, {len(messages)} messages equal")
