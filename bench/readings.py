"""Readings of many devices through Mosquitto, Kafka and Cassandra: `cargo xtask bench readings`.

Devices publish with QoS 1 while nobody is connected, so that the broker has them all; then a receiver with that session takes them to
Kafka and a consumer stores them, both at the same time. Rates are readings per second, from the first one received until Cassandra
has acknowledged the last. Tapeline (`produce` and `consume`) and the usual Python clients (bench/peers/readings.py) take turns.

Cardinality: the same number of readings from 10 series and from 10,000, in turns: elapsed time, and CPU time of each process. On a
busy machine elapsed times say little and CPU times are comparable; the servers' include their own background work.
"""
import os, re, resource, signal, socket, statistics, struct, subprocess, sys, tempfile, threading, time, urllib.request
from pathlib import Path

from process import cpu

MOSQUITTO = "/usr/sbin/mosquitto"
DEVICES = 1_000
READINGS = int(os.environ.get("BENCH_READINGS", "1000000"))
#: Of the Python clients, which need a fiftieth part about as long.
FOR_PYTHON = max(READINGS // 50, 1)
FEW, MANY = 10, 10_000
START_MS = 1_767_571_200_000
#: How long a round may take.
PATIENCE = 900


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Broker:
    """A Mosquitto that keeps any number of messages for a session."""

    def __init__(self, folder):
        self.port = free_port()
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence false\n"
                          "max_inflight_messages 0\nmax_queued_messages 0\n")
        self.process = subprocess.Popen([MOSQUITTO, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.address = f"127.0.0.1:{self.port}"
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                if time.monotonic() > end:
                    sys.exit("Mosquitto does not listen; apt-get install mosquitto")
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def cpu(self):
        return cpu(self.process.pid)

    def connect(self, client, clean):
        """A session of MQTT 3.1.1, by hand: a client in Python would be slower than what is measured."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        body = b"\0\4MQTT\4" + bytes([2 * clean]) + b"\0\0" + text(client)
        connection.sendall(b"\x10" + length(len(body)) + body)
        assert exactly(connection, 4)[3] == 0, "the broker refuses the connection"
        return connection

    def keep_for(self, client, topic_filter):
        """From now on the broker keeps the messages of a filter for a client."""
        connection = self.connect(client, False)
        body = b"\0\1" + text(topic_filter) + b"\1"
        connection.sendall(b"\x82" + length(len(body)) + body)
        assert exactly(connection, 5)[4] == 1, "the broker refuses the subscription"
        connection.sendall(b"\xe0\0")
        connection.close()

    def publish(self, prefix, count, devices):
        """Readings of the devices in turn, until the broker has acknowledged all."""
        connection = self.connect(f"{prefix}-devices", True)
        acknowledged = threading.Thread(target=exactly, args=(connection, 4 * count))
        acknowledged.start()
        batch = bytearray()
        for index in range(count):
            device, number = index % devices, index // devices
            value = f'{{"n":{number},"time":{START_MS + 10 * number},"t":{20 + number % 97 / 10:.1f}}}'.encode()
            body = text(f"{prefix}/d{device:05}") + struct.pack(">H", index % 65_535 + 1) + value
            batch += b"\x32" + length(len(body)) + body
            if len(batch) > 1 << 16:
                connection.sendall(batch)
                batch.clear()
        connection.sendall(batch)
        acknowledged.join()
        connection.close()


def text(value):
    return struct.pack(">H", len(value)) + value.encode()


def length(size):
    out = b""
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size])


def exactly(connection, count):
    """The last bytes of so many."""
    kept = b""
    while count:
        part = connection.recv(min(count, 1 << 16))
        assert part, "the broker has closed the connection"
        count -= len(part)
        kept = (kept + part)[-8:]
    return kept


class Program:
    """One of Tapeline's processes, with its metrics."""

    def __init__(self, tapeline, words, env):
        self.metrics = f"127.0.0.1:{free_port()}"
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(tapeline), *words], env={**os.environ, **env, "TAPELINE__METRICS__LISTEN": self.metrics},
                                        stdout=self.log, stderr=self.log)

    def total(self, name):
        """A counter over all its labels; 0 before it is served."""
        try:
            page = urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=5).read().decode()
        except OSError:
            assert self.process.poll() is None, self.said()
            return 0
        return sum(float(line.split()[-1]) for line in page.splitlines() if re.match(rf"{name}[ {{]", line))

    def cpu(self):
        return cpu(self.process.pid)

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


class Round:
    """Readings per second, and CPU microseconds per reading of each process by name."""

    def __init__(self, count, seconds, cpu):
        self.rate = count / seconds
        self.cpu = {name: used / count * 1e6 for name, used in cpu.items()}
        self.ours = self.cpu.get("produce", 0) + self.cpu.get("consume", 0)

    def line(self):
        return ", ".join(f"{name} {used:.1f}" for name, used in self.cpu.items())


class Bench:
    def __init__(self, tapeline, kafka, cassandra, python, prepare):
        self.tapeline, self.kafka, self.cassandra, self.python, self.prepare = tapeline, kafka, cassandra, python, prepare
        pids = {"Kafka": os.environ.get("BENCH_KAFKA_PID"), "Cassandra": os.environ.get("BENCH_CASSANDRA_PID")}
        self.servers = {name: pid for name, pid in pids.items() if pid}

    def servers_cpu(self):
        return {name: cpu(pid) for name, pid in self.servers.items()}

    def tapeline_round(self, name, count, devices):
        store = f"cassandra://{self.cassandra}/{name}"
        env = self.prepare(name, store)
        with tempfile.TemporaryDirectory() as folder:
            broker = Broker(folder)
            programs = []
            try:
                broker.keep_for(f"{name}-client", f"{name}/+")
                broker.publish(name, count, devices)
                before = {"Mosquitto": broker.cpu(), **self.servers_cpu()}
                source = (f"mqtt://{broker.address}/{name}/+?format=ndjson&feed=bench&series={{topic.2}}.{{field}}&value=t&seq=n"
                          f"&client={name}-client")
                topic = ["--topic", f"kafka://{self.kafka}"]
                consume = Program(self.tapeline, ["consume", "--group", name, *topic, "--store", store], env)
                programs.append(consume)
                produce = Program(self.tapeline, ["produce", "--source", source, *topic], env)
                programs.append(produce)
                end, start = time.monotonic() + PATIENCE, None
                while (stored := consume.total("tapeline_records_stored_total")) < count:
                    if start is None and produce.total("tapeline_records_read_total") > 0:
                        start = time.monotonic()
                    assert time.monotonic() < end, f"{stored:,.0f} of {count:,} stored\n{produce.said()}\n{consume.said()}"
                    time.sleep(0.05)
                took = time.monotonic() - (start or end)
                assert took > 0, "stored before a reading was seen; set BENCH_READINGS higher"
                after = {"Mosquitto": broker.cpu(), **self.servers_cpu()}
                used = {"produce": produce.cpu(), "consume": consume.cpu(), **{name: after[name] - before[name] for name in after}}
            finally:
                for program in programs:
                    program.stop()
                broker.stop()
        counted = subprocess.run([str(self.tapeline), "count", "--format", "csv", "--store", store], env={**os.environ, **env},
                                 capture_output=True, text=True)
        rows = sum(int(line.rsplit(",", 1)[1]) for line in counted.stdout.splitlines() if line.rsplit(",", 1)[-1].isdigit())
        assert rows == count, f"{rows:,} rows of {count:,} readings\n{counted.stdout}{counted.stderr}"
        return Round(count, took, used)

    def python_round(self, name, count):
        store = f"cassandra://{self.cassandra}/{name}"
        self.prepare(name, store)
        with tempfile.TemporaryDirectory() as folder:
            broker = Broker(folder)
            bridge = None
            try:
                broker.keep_for(f"{name}-client", f"{name}/+")
                broker.publish(name, count, DEVICES)
                peer = [self.python, "bench/peers/readings.py"]
                before = {"Mosquitto": broker.cpu(), **self.servers_cpu()}
                bridge = subprocess.Popen([*peer, "bridge", broker.address, f"{name}-client", f"{name}/+", self.kafka, f"{name}.readings"])
                children = resource.getrusage(resource.RUSAGE_CHILDREN)
                done = subprocess.run([*peer, "store", self.kafka, f"{name}.readings", self.cassandra, name, str(count)],
                                      capture_output=True, text=True, timeout=PATIENCE)
                assert done.returncode == 0, done.stderr
                now = resource.getrusage(resource.RUSAGE_CHILDREN)
                after = {"Mosquitto": broker.cpu(), **self.servers_cpu()}
                used = {"bridge": cpu(bridge.pid), "store": now.ru_utime + now.ru_stime - children.ru_utime - children.ru_stime,
                        **{name: after[name] - before[name] for name in after}}
            finally:
                if bridge:
                    bridge.kill()
                    bridge.wait()
                broker.stop()
        return Round(count, count / float(done.stdout.split()[-1]), used)


def run(tapeline, kafka, cassandra, python, prepare, show, rounds):
    """`prepare` makes topics and keyspace of a prefix, and returns the environment for it."""
    bench = Bench(tapeline, kafka, cassandra, python, prepare)
    print(f"readings: {DEVICES:,} devices, Mosquitto to Kafka to Cassandra, {READINGS:,} readings ({FOR_PYTHON:,} for Python)", flush=True)
    ours, theirs = [], []
    # The first round warms the servers up.
    bench.tapeline_round("readingswarm", READINGS, DEVICES)
    for index in range(rounds):
        ours.append(bench.tapeline_round(f"readingsours{index}", READINGS, DEVICES))
        theirs.append(bench.python_round(f"readingspython{index}", FOR_PYTHON))
    for what, some in (("tapeline produce and consume", ours), ("paho-mqtt, kafka-python, cassandra-driver", theirs)):
        show(what, [one.rate for one in some])
        print("".join(f"    CPU us per reading: {one.line()}\n" for one in some), end="", flush=True)
    ratios = [a.rate / b.rate for a, b in zip(ours, theirs)]
    print(f"    tapeline / Python, round by round: {', '.join(f'{ratio:.1f}' for ratio in ratios)}; median {statistics.median(ratios):.1f} "
          "(target 20)", flush=True)
    rows = [[bench.tapeline_round(f"readings{series}x{index}", READINGS, series) for series in (FEW, MANY)] for index in range(rounds)]
    for few, many in rows:
        print(f"  CPU us per reading, {FEW} series: {few.line()}\n  {MANY:,} series: {many.line()}", flush=True)
    costs = [("elapsed", lambda one: 1e6 / one.rate), ("CPU time of Tapeline", lambda one: one.ours),
             ("CPU time of all", lambda one: sum(one.cpu.values()))]
    for what, cost in costs:
        grown = [cost(many) / cost(few) for few, many in rows]
        each = "; ".join(f"{cost(few):.1f}, {cost(many):.1f}" for few, many in rows)
        print(f"  {what} per reading, us, {FEW} and {MANY:,} series, round by round: {each}", flush=True)
        print(f"    {MANY:,} / {FEW}: {', '.join(f'{ratio:.2f}' for ratio in grown)}; median {statistics.median(grown):.2f} (target 1.3)", flush=True)
