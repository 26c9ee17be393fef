"""Kafka to Cassandra in Python. usage: consume.py KAFKA CASSANDRA TOPIC KEYSPACE SECONDS IN_FLIGHT

IN_FLIGHT 0 is the consumer as the tutorials write it: one execute a row, the statement as a string with %s in it.
1 prepares the statement, which few of them do. More is the tuned version: that many rows in flight."""
import json, sys, time
from datetime import datetime, timezone
from decimal import Decimal
from threading import Semaphore

from cassandra.cluster import Cluster
from cassandra.util import Time
from kafka import KafkaConsumer

kafka, cassandra, topic, keyspace, seconds, in_flight = sys.argv[1:]
seconds, in_flight = float(seconds), int(in_flight)
host, port = cassandra.split(":")
session = Cluster([host], port=int(port)).connect(keyspace)
text = ("INSERT INTO trades (symbol, hour, ts, feed, venue, id, price, size, conditions) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)")
insert = session.prepare(text.replace("%s", "?")) if in_flight else text
consumer = KafkaConsumer(topic, bootstrap_servers=kafka, group_id=f"py-{time.time()}", auto_offset_reset="earliest",
                         value_deserializer=json.loads)
free = Semaphore(max(in_flight, 1))
rows, start = 0, None
for message in consumer:
    start = start or time.monotonic()
    t = message.value
    hour = datetime.fromtimestamp(t["ts"] // 3600_000_000_000 * 3600, timezone.utc)
    row = (t["symbol"], hour, Time(t["ts"] % 86_400_000_000_000), t["feed"], t["venue"], t["id"],
           Decimal(t["price"]), Decimal(t["size"]), t["conditions"])
    if in_flight < 2:
        session.execute(insert, row)
    else:
        free.acquire()
        future = session.execute_async(insert, row)
        future.add_callbacks(lambda _: free.release(), lambda _: free.release())
    rows += 1
    if rows % 100 == 0 and time.monotonic() - start > seconds:
        break
print(int(rows / (time.monotonic() - start)))
