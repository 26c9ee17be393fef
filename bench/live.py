"""Ten times the busiest second of quotes on record, through Alpaca's simulated stream into Kafka.

That second is AIG's, 6,598 quotes, on a day that is not in every tape: so the busiest second of the
available tape and its neighbours are sped up to 65,980 quotes per second. The topic is read with kafka-python; latency is the broker's
append time minus the time at which Tapeline read the frame from the socket. The first second, in which the producer connects,
is excluded.
"""
import csv, io, json, os, signal, subprocess, tempfile, time, zipfile
from collections import Counter
from kafka import KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

SYMBOL, DATE, RATE, SECONDS = "aig", "20131008", 65_980, 6


def cut(tape, folder):
    """A folder with a part of the tape; its number of rows, those of its busiest second, and the playback speed."""
    with zipfile.ZipFile(f"{tape}/tick/{SYMBOL}/{DATE}_quote.zip") as file:
        name = file.namelist()[0]
        rows = list(csv.reader(io.TextIOWrapper(file.open(name))))
    busiest, count = Counter(int(row[0]) // 1000 for row in rows).most_common(1)[0]
    speed = -(-RATE // count)
    kept = [row for row in rows if abs(int(row[0]) // 1000 - busiest) <= SECONDS * speed // 2]
    os.makedirs(f"{folder}/tick/{SYMBOL}")
    with zipfile.ZipFile(f"{folder}/tick/{SYMBOL}/{DATE}_quote.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, "".join(",".join(row) + "\n" for row in kept))
    return len(kept), count, speed


def run(tape, tapeline, kafka, prefix, env):
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    topic = f"{prefix}.quotes"
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"message.timestamp.type": "LogAppendTime"})])
    with tempfile.TemporaryDirectory() as folder:
        total, busiest, speed = cut(tape, folder)
        simulator = subprocess.Popen([tapeline, "simulate", "alpaca", "--tape", f"tape:{folder}?kinds=quotes", "--speed", str(speed), "--listen", "127.0.0.1:0"],
                                     stdout=subprocess.PIPE, text=True)
        address = simulator.stdout.readline().split()[3].rstrip(":")
        env = {**os.environ, **env, "APCA_API_KEY_ID": "any", "APCA_API_SECRET_KEY": "any",
               "TAPELINE__SOURCE__ALPACA__STREAM": f"ws://{address}", "TAPELINE__SOURCE__ALPACA__REST": f"http://{address}"}
        source = f"alpaca:sip?symbols={SYMBOL.upper()}&kinds=quotes&speed={speed}"
        producer = subprocess.Popen([tapeline, "produce", "--source", source, "--topic", f"kafka://{kafka}"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(SECONDS + 4)
        producer.send_signal(signal.SIGTERM)
        text = producer.communicate(timeout=60)[0]
        simulator.kill()
    gaps = subprocess.run([tapeline, "gaps", "--format", "json", "--topic", f"kafka://{kafka}"], env=env, capture_output=True, text=True).stdout
    consumer = KafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", consumer_timeout_ms=3000, enable_auto_commit=False)
    times, seconds = [], Counter()
    for message in consumer:
        received = json.loads(message.value)["recv_ts"]
        times.append((received, message.timestamp - received / 1e6))
        seconds[received // 10_000_000] += 1
    assert times, text
    first = min(times)[0]
    waits = sorted(wait for received, wait in times if received > first + 1_000_000_000)
    part = lambda share: waits[min(len(waits) - 1, int(share * len(waits)))]
    print(f"  {len(times):,} of {total:,} quotes on the topic, {len(json.loads(gaps))} gaps; busiest second {busiest:,}, "
          f"played {speed} times as fast: at most {max(seconds.values()):,} in 10 ms", flush=True)
    print(f"  from socket to topic, ms: p50 {part(0.5):.1f}, p99 {part(0.99):.1f}, p99.9 {part(0.999):.1f}, most {waits[-1]:.1f}", flush=True)
