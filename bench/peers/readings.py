"""Sensor readings by the usual Python clients, in two programs as Telegraf and its consumers are.

usage: readings.py bridge BROKER CLIENT FILTER KAFKA TOPIC      paho-mqtt to kafka-python
       readings.py store KAFKA TOPIC CASSANDRA KEYSPACE COUNT   kafka-python to cassandra-driver

`bridge` runs until it is ended. `store` ends after COUNT readings and prints their rate, from the first one on: one prepared execute a row.
"""
import json, sys, time
from datetime import datetime, timezone


def bridge(broker, client, topic_filter, kafka, topic):
    import paho.mqtt.client as mqtt
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=5, compression_type="lz4", key_serializer=str.encode)

    def on_message(_client, _data, message):
        device, value = message.topic.split("/")[1], json.loads(message.payload)
        reading = {"series": f"{device}.t", "feed": "bench", "seq": value["n"], "ts": value["time"] * 1_000_000,
                   "recv_ts": time.time_ns(), "type": "decimal", "value": str(value["t"])}
        producer.send(topic, key=reading["series"], value=json.dumps(reading).encode())

    session = mqtt.Client(client_id=client, clean_session=False)
    session.on_message = on_message
    session.on_connect = lambda client, *_: client.subscribe(topic_filter, qos=1)
    host, port = broker.split(":")
    session.connect(host, int(port))
    session.loop_forever()


def store(kafka, topic, cassandra, keyspace, count):
    from cassandra.cluster import Cluster
    from cassandra.util import Time
    from kafka import KafkaConsumer

    host, port = cassandra.split(":")
    session = Cluster([host], port=int(port)).connect(keyspace)
    insert = session.prepare("INSERT INTO readings (series, day, ts, feed, seq, value, type) VALUES (?, ?, ?, ?, ?, ?, ?)")
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, group_id=f"py-{time.time()}", auto_offset_reset="earliest",
                             value_deserializer=json.loads)
    start, rows = None, 0
    for message in consumer:
        start = start or time.monotonic()
        reading = message.value
        day = datetime.fromtimestamp(reading["ts"] // 86_400_000_000_000 * 86_400, timezone.utc)
        session.execute(insert, (reading["series"], day, Time(reading["ts"] % 86_400_000_000_000), reading["feed"], reading["seq"],
                                 reading["value"], reading["type"]))
        rows += 1
        if rows == int(count):
            break
    print(rows / (time.monotonic() - start))


{"bridge": bridge, "store": store}[sys.argv[1]](*sys.argv[2:])
