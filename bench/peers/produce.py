"""kafka-python from the zipped tape. usage: produce.py KAFKA TOPIC ZIP SECONDS"""
import json, sys, time, zipfile

from kafka import KafkaProducer

kafka, topic, path, seconds = sys.argv[1:]
archive = zipfile.ZipFile(path)
lines = archive.read(archive.namelist()[0]).decode().split("\n")
producer = KafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=5, compression_type="lz4", key_serializer=str.encode)
start = time.monotonic()
for sent, line in enumerate(lines, 1):
    ms, price, size, venue, mask, suspicious = line.split(",")
    producer.send(topic, key="SPY", value=json.dumps({
        "symbol": "SPY", "feed": "lean.sip", "venue": venue, "id": f"20131008{sent:08}",
        "ts": 1381204800000000000 + int(ms) * 1000000, "recv_ts": time.time_ns(), "price": str(int(price) / 10000),
        "size": size, "conditions": [mask]}).encode())
    if sent % 1000 == 0 and time.monotonic() - start > float(seconds):
        break
producer.flush()
print(int(sent / (time.monotonic() - start)))
