"""What `cargo xtask chaos` does to the servers, and what it counts with clients that are not ours: one JSON line a call.

admin.py KAFKA CASSANDRA NAME VERB [ARGUMENT ...]
"""
import collections, glob, json, random, sys, time, zipfile
from pathlib import Path

KAFKA, CASSANDRA, NAME, VERB, *WORDS = sys.argv[1:]
TRADES = f"{NAME}.trades"
PATIENCE = 120


def admin():
    from kafka.admin import KafkaAdminClient
    return KafkaAdminClient(bootstrap_servers=KAFKA, request_timeout_ms=PATIENCE * 1000)


def session(keyspace=NAME):
    from cassandra.cluster import Cluster
    from cassandra.policies import RoundRobinPolicy
    host, port = CASSANDRA.split(":")
    # A server that was just killed under load is slow.
    cluster = Cluster([host], port=int(port), load_balancing_policy=RoundRobinPolicy(), protocol_version=5,
                      connect_timeout=PATIENCE, control_connection_timeout=PATIENCE)
    session = cluster.connect(keyspace)
    session.default_timeout = PATIENCE
    return session


def tape(folder, symbols):
    """Trades in the files of a tape, by symbol: what a store must hold."""
    counts = collections.Counter()
    for path in glob.glob(f"{folder}/**/tick/*/*_trade.zip", recursive=True):
        symbol = Path(path).parent.name.upper()
        if symbols == "all" or symbol in symbols.split(","):
            archive = zipfile.ZipFile(path)
            counts[symbol] += sum(1 for row in archive.read(archive.namelist()[0]).split(b"\n") if row)
    return dict(sorted(counts.items()))


def rows():
    """Trades in the store, by symbol."""
    counts = collections.Counter()
    from cassandra.policies import RetryPolicy

    class Patient(RetryPolicy):
        """What is judged is what the server holds, not how long it needs right after a kill."""
        def on_read_timeout(self, query, consistency, required_responses, received_responses, data_retrieved, retry_num):
            return (self.RETRY, consistency) if retry_num < 20 else (self.RETHROW, None)

    from cassandra.query import SimpleStatement
    statement = SimpleStatement("SELECT symbol FROM trades", fetch_size=2_000, retry_policy=Patient())
    for row in session().execute(statement):
        counts[row.symbol] += 1
    return dict(sorted(counts.items()))


GOOD = {"symbol": "POISON", "feed": "chaos", "venue": "P", "id": "1", "ts": 1_381_240_800_000_000_000, "recv_ts": 1, "price": "1", "size": "1", "conditions": []}


def poison(kind, n):
    """Headers and payload of a message that can never be stored; each is another one by its number."""
    trade, one = ("kind", b"trade"), ("schema", b"1")
    with_field = lambda **fields: json.dumps({**GOOD, "id": f"p{n}", **fields}).encode()
    without = lambda name: json.dumps({k: v for k, v in {**GOOD, "id": f"p{n}"}.items() if k != name}).encode()
    kinds = [
        ([trade, one], b"{\"symbol\":%d" % n),
        ([trade, one], b""),
        ([trade, one], b"\x00\xff%d" % n),
        ([trade, one], b"[%d]" % n),
        ([trade, one], b"null"),
        ([trade, one], with_field(price="1e999")),
        ([trade, one], with_field(price="one")),
        ([trade, one], with_field(size="-1")),
        ([trade, one], with_field(ts="yesterday")),
        ([trade, one], with_field(ts=2**63)),
        ([trade, one], with_field(symbol="")),
        ([trade, one], with_field(symbol="S" * 70_000)),
        ([trade, one], with_field(id="i" * 70_000)),
        ([trade, one], with_field(conditions=7)),
        ([trade, one], without("price")),
        ([trade, one], without("symbol")),
        ([trade, ("schema", b"99")], with_field()),
        ([("kind", b"option"), one], with_field()),
        ([trade, ("schema", b"")], with_field()),
        ([("schema", b"99")], with_field()),
    ]
    return kinds[kind % len(kinds)]


def send_poison(count, seed):
    from kafka import KafkaProducer
    producer = KafkaProducer(bootstrap_servers=KAFKA, acks="all")
    start, futures = random.Random(int(seed)).randrange(10**9), []
    for n in range(int(count)):
        headers, payload = poison(n, start + n)
        futures.append(producer.send(TRADES, key=b"POISON%d" % (n % 6), value=payload, headers=headers))
    for future in futures:
        future.get(60)
    return {"sent": len(futures)}


def ends():
    from kafka import KafkaConsumer, TopicPartition
    consumer = KafkaConsumer(bootstrap_servers=KAFKA)
    parts = [TopicPartition(TRADES, p) for p in sorted(consumer.partitions_for_topic(TRADES))]
    return parts, consumer.beginning_offsets(parts), consumer.end_offsets(parts), consumer


def retention():
    """Deletes what is on the topic now, as retention does; how many of it the group had not stored."""
    parts, starts, end, consumer = ends()
    committed = admin().list_consumer_group_offsets(NAME, partitions=parts)
    unread = 0
    for part in parts:
        position = committed[part].offset if part in committed and committed[part].offset >= 0 else starts[part]
        unread += max(0, end[part] - max(position, starts[part]))
    admin().delete_records({part: end[part] for part in parts})
    return {"unread": unread}


def recreate():
    """Deletes the topic and creates it again; how many of its messages the group had not stored."""
    from kafka.admin import NewTopic
    parts, starts, end, _ = ends()
    committed = admin().list_consumer_group_offsets(NAME, partitions=parts)
    unread = sum(max(0, end[p] - max(committed[p].offset if p in committed else 0, starts[p], 0)) for p in parts)
    client = admin()
    client.delete_topics([TRADES])
    for _ in range(200):
        if TRADES not in client.list_topics():
            break
        time.sleep(0.1)
    client.create_topics([NewTopic(TRADES, len(parts), 1)])
    return {"unread": unread}


def partitions(more):
    from kafka.admin import NewPartitions
    parts, *_ = ends()
    admin().create_partitions({TRADES: NewPartitions(len(parts) + int(more))})
    return {"partitions": len(parts) + int(more)}


def cql(statement):
    session().execute(statement)
    return {}


def drop():
    session(None).execute(f"DROP KEYSPACE IF EXISTS {NAME}")
    client = admin()
    client.delete_topics([topic for topic in client.list_topics() if topic.startswith(f"{NAME}.")])
    return {}


VERBS = {"tape": tape, "rows": rows, "poison": send_poison, "retention": retention, "recreate": recreate,
         "partitions": partitions, "cql": cql, "drop": drop}
print(json.dumps(VERBS[VERB](*WORDS)))
