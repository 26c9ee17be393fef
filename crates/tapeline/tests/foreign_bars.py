"""Reads bars with independent clients: the newest message of each key must be the row of the table.

usage: foreign_bars.py KAFKA CASSANDRA NAME
"""
import json, sys
from datetime import timezone
from decimal import Decimal

from cassandra.cluster import Cluster
from kafka import KafkaConsumer, TopicPartition

kafka, cassandra, name = sys.argv[1:]
host, port = cassandra.split(":")
session = Cluster([host], port=int(port)).connect(name)
rows = {}
for r in session.execute("SELECT * FROM bars"):
    start = r.start.replace(tzinfo=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    rows[r.symbol, r.feed, r.interval, start] = (r.open, r.high, r.low, r.close, r.volume, r.vwap, r.trades, r.revision, r.final)

consumer = KafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
parts = [TopicPartition(f"{name}.bars", p) for p in sorted(consumer.partitions_for_topic(f"{name}.bars"))]
consumer.assign(parts)
consumer.seek_to_beginning()
ends = consumer.end_offsets(parts)
newest, keys = {}, {}
while any(consumer.position(p) < ends[p] for p in parts):
    for batch in consumer.poll(500).values():
        for m in batch:
            b = json.loads(m.value)
            place = b["symbol"], b["feed"], b["interval"], b["start"]
            assert keys.setdefault(m.key, place) == place, (m.key, place)
            newest[place] = tuple(Decimal(b[k]) for k in ("open", "high", "low", "close", "volume", "vwap")) + (
                b["trades"], b["revision"], b["final"])
assert len(rows) > 20_000, len(rows)
assert rows == newest, list(set(rows.items()) ^ set(newest.items()))[:4]
print(f"{len(rows)} bars equal on topic and table")
