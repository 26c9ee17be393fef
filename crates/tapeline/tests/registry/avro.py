"""Records as Avro: a real schema registry, real Kafka, and Confluent's own client as consumer and as producer.

    python avro.py TAPELINE KAFKA REGISTRY REGISTRY_PID

`cargo xtask registry` starts the servers. Exits with 1 at the first thing that is not as it should be.
"""
import calendar
import decimal
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from confluent_kafka import DeserializingConsumer, SerializingProducer, TopicPartition
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import StringSerializer

TAPELINE, KAFKA, REGISTRY, PID = sys.argv[1:]
TAPE = "tape:data/us-equities"
SYMBOLS = "IBM,AIG"
FOLDER = tempfile.mkdtemp(prefix="tapeline-avro-")
ENV = {
    **os.environ,
    "TAPELINE__TOPIC__URL": f"kafka://{KAFKA}",
    "TAPELINE__TOPIC__PREFIX": "avro",
    "TAPELINE__TOPIC__PARTITIONS": "2",
    "TAPELINE__TOPIC__GROUP": "avro",
    "TAPELINE__TOPIC__FORMAT": "avro",
    "TAPELINE__TOPIC__REGISTRY__URL": REGISTRY,
}
# What another program's own schema may look like: another order, milliseconds, two decimal places, a field of its own.
FOREIGN = {
    "type": "record", "name": "Print", "namespace": "desk", "fields": [
        {"name": "desk", "type": "string"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "size", "type": "string"},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "recv_ts", "type": "long"},
        *[{"name": name, "type": "string"} for name in ("symbol", "feed", "venue", "id")],
        {"name": "conditions", "type": {"type": "array", "items": "string"}},
        {"name": "tape", "type": ["null", "string"], "default": None},
    ],
}


def run(*arguments, store="store.db", code=0, env=ENV):
    """Output of the program, both streams; it must exit with `code`."""
    command = [TAPELINE, *arguments]
    if arguments[0] in ("consume", "verify", "query", "count", "dead-letters"):
        command += ["--store", f"sqlite:{FOLDER}/{store}"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    text = done.stdout + done.stderr
    if done.returncode != code:
        raise SystemExit(f"error: {' '.join(command)}: expected exit code {code}, found {done.returncode}\n{text}")
    return text


def check(what, found, expected):
    if found != expected:
        raise SystemExit(f"error: {what}: expected {expected!r}, found {found!r}")
    print(f"ok  {what}", flush=True)


def stored(kind="trades", symbol="IBM", store="store.db"):
    text = subprocess.run([TAPELINE, "query", kind, symbol, "--format", "ndjson", "--store", f"sqlite:{FOLDER}/{store}"],
                          env=ENV, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in text.splitlines()]


def foreign_records(topic):
    """Every record of a topic, read by Confluent's client with what the registry says."""
    client = SchemaRegistryClient({"url": REGISTRY})
    consumer = DeserializingConsumer({
        "bootstrap.servers": KAFKA, "group.id": "foreign", "enable.auto.commit": False,
        "value.deserializer": AvroDeserializer(client),
    })
    partitions = []
    for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
        partitions.append((TopicPartition(topic, number, low), high))
    left = sum(high - partition.offset for partition, high in partitions)
    consumer.assign([partition for partition, _ in partitions])
    records = []
    while len(records) < left:
        message = consumer.poll(10)
        if message is None or message.error():
            raise SystemExit(f"error: {len(records)} of {left} messages read: {message and message.error()}")
        records.append(message.value())
    consumer.close()
    return records


def main():
    wrong = {**ENV, "TAPELINE__TOPIC__REGISTRY__URL": REGISTRY.replace("/apis/ccompat/v7", "/no/such")}
    text = run("init", "--store", f"sqlite:{FOLDER}/store.db", code=1, env=wrong)
    check("a wrong path of the registry is named with the next step", "check the path of `topic.registry.url`" in text, True)
    text = run("init", "--store", f"sqlite:{FOLDER}/store.db")
    check("init registers a schema of each kind", sorted(re.findall(r"schema avro\.(\w+)-value: id \d+", text)),
          ["quotes", "readings", "trades"])
    text = run("produce", "--source", TAPE, "--symbols", SYMBOLS)
    text = run("consume", "--until-end")
    rate = re.search(r"([\d,]+) records/s", text)[1]
    text = run("verify", "--source", TAPE, "--symbols", SYMBOLS)
    verified = re.search(r"verified: ([\d,]+) records, equal field for field in source, topic, store", text)
    check("verify proves source = topic = store", bool(verified), True)
    print(f"    consumed at {rate} records/s (a build for tests)", flush=True)

    records = foreign_records("avro.trades")
    columns = ("symbol", "ts", "feed", "venue", "id", "price", "size", "conditions")
    values = lambda rows, time, number: sorted(
        (row["symbol"], time(row["ts"]), row["feed"], row["venue"], row["id"], number(row["price"]), number(row["size"]),
         tuple(row["conditions"])) for row in rows)
    ours = [row for symbol in SYMBOLS.split(",") for row in stored(symbol=symbol)]
    check(f"Confluent's consumer reads all {len(ours):,} trades, equal in {len(columns)} columns",
          values(records, nanoseconds, decimal.Decimal) == values(ours, nanoseconds_of_text, decimal.Decimal), True)

    client = SchemaRegistryClient({"url": REGISTRY})
    serializer = AvroSerializer(client, json.dumps(FOREIGN), conf={"subject.name.strategy": lambda context, name: "desk.print"})
    producer = SerializingProducer({"bootstrap.servers": KAFKA, "key.serializer": StringSerializer(), "value.serializer": serializer})
    for number in range(100):
        producer.produce("avro.trades", key="DESK", value={
            "desk": "x", "price": decimal.Decimal("12.34"), "size": "0.5", "ts": 1_381_219_200_464 + number, "recv_ts": 5,
            "symbol": "DESK", "feed": "desk", "venue": "P", "id": str(number), "conditions": ["@"], "tape": "B"})
    producer.flush()
    poison = Producer({"bootstrap.servers": KAFKA})
    known = client.get_latest_version("avro.trades-value").schema_id.to_bytes(4, "big")
    plain = b'{"symbol":"DESK","feed":"desk","venue":"P","id":"json","ts":1381219200464000000,"recv_ts":5,"price":"1","size":"1","conditions":[]}'
    for value in (b"\0" + known + b"\x06SP", b"\0\x7f\0\0\0\x02S", b"\0", b"\0" + known, plain):
        poison.produce("avro.trades", key="DESK", value=value)
    poison.flush()
    run("consume", "--until-end")
    rows = stored(symbol="DESK")
    check("records of another program's schema, and JSON, are stored", len(rows), 101)
    check("  with their values", {(row["price"], row["size"], row.get("tape")) for row in rows if row["id"] != "json"}, {("12.34", "0.5", "B")})
    letters = run("dead-letters", "list")
    print(letters.strip(), flush=True)
    for reason in ("not Avro", "is not in the registry", "not a trade by schema"):
        check(f"a dead letter says `{reason}`", reason in letters, True)

    # The registry stands still: a new consumer waits for it, and loses nothing.
    os.kill(int(PID), signal.SIGSTOP)
    waiting = subprocess.Popen([TAPELINE, "consume", "--until-end", "--group", "later", "--store", f"sqlite:{FOLDER}/later.db"],
                               env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(14)
    alive = waiting.poll() is None
    os.kill(int(PID), signal.SIGCONT)
    text = waiting.communicate(timeout=300)[0]
    check("a consumer waits for a registry that stands still", (alive, waiting.returncode), (True, 0))
    check("  and says so", f"schema registry {REGISTRY}: no answer within 10 s" in text, True)
    total = lambda store: sum(len(stored(symbol=symbol, store=store)) for symbol in (*SYMBOLS.split(","), "DESK"))
    check("  and has stored the same", total("later.db"), total("store.db"))
    text = run("doctor", "--store", f"sqlite:{FOLDER}/store.db")
    check("doctor knows the schemas", bool(re.search(r"schemas .*avro\.trades-value \d+", text)), True)
    print(f"{verified[1]} trades: all checks passed")


def nanoseconds(value):
    """A timestamp-nanos: the library may not know that logical type, and leave the number."""
    if isinstance(value, int):
        return value
    raise SystemExit(f"error: expected nanoseconds, found {value!r}")


def nanoseconds_of_text(text):
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


if __name__ == "__main__":
    main()
