"""1,000 clients of the event stream at 5,000 records per second.

    bench/sse.py [--tapeline target/release/tapeline] [--clients 1000] [--rate 5000] [--seconds 15] [--topic URL] [--store URL]

Alpaca's simulated stream plays the tape; one process records it (`run`), another serves (`serve`). Each client follows one
symbol and the watchlist. Measured, without clients and with them, alternately:

- push delay: from the moment at which a trade was read from the vendor's socket (its `recv_ts`) until a client has its event. It
  includes the topic, and the interval of frames (`serve.frame_interval`, 100 ms), of which a trade waits for half on average. Sampled
  by some clients in a process of their own; the others, in another process, only read.
- memory of the serving process, by client; CPU time of both processes.
- the rate at which another consumer drains a topic into an empty store, meanwhile.
- frozen clients: connected, and never reading. How many the server dropped, and the delay of the others meanwhile.

The clients are as local as the server and share its cores: `top` is the server's share.
"""

import argparse
import json
import os
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime
from pathlib import Path

import process

SYMBOLS = ("SPY", "BAC", "IBM", "AIG")
# One for each symbol: more would decode more JSON than a core can, and measure that.
SAMPLED = 4
#: New connections per second from one address, below what `serve.requests_per_second` allows.
PACE = 50
ADDRESSES = 20
#: How long the server waits for a client that does not read.
IO_TIMEOUT = "5s"


class Client:
    """A connection that follows a symbol."""

    def __init__(self, address, number, window=None):
        host, port = address.split(":")
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        # A source address each for a share of the clients, because the server limits requests by address.
        self.socket.bind((f"127.0.1.{number % ADDRESSES + 1}", 0))
        self.socket.connect((host, int(port)))
        symbol = SYMBOLS[number % len(SYMBOLS)]
        self.socket.sendall(f"GET /api/v1/stream?symbol={symbol}&interval=1m HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        self.rest = b""

    def events(self):
        """Names and data of the events that have arrived; None at the end of the stream."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionError:
            return None
        if not data:
            return None
        *events, self.rest = (self.rest + data).split(b"\n\n")
        return events


def connect(address, numbers):
    clients = []
    for number in numbers:
        clients.append(Client(address, number))
        time.sleep(1 / (PACE * ADDRESSES))
    return clients


def watch(clients):
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
    return selector


def swarm(address, first, last):
    """Clients that only read, until standard input ends; prints what they saw."""
    clients = connect(address, range(first, last))
    print("connected", flush=True)
    selector = watch(clients)
    selector.register(sys.stdin, selectors.EVENT_READ)
    counts = {"bytes": 0, "lagged": 0, "lost": 0, "refused": 0}
    while True:
        for key, _ in selector.select():
            if key.data is None:
                print(json.dumps(counts), flush=True)
                return
            try:
                data = key.data.socket.recv(1 << 18)
            except ConnectionError:
                data = b""
            counts["bytes"] += len(data)
            counts["lagged"] += data.count(b"event: lagged")
            counts["refused"] += data.startswith(b"HTTP/1.") and b" 200 " not in data[:16]
            if not data:
                counts["lost"] += 1
                selector.unregister(key.data.socket)


def nanos(text):
    moment = datetime.fromisoformat(text[:19] + "+00:00")
    return int(moment.timestamp()) * 1_000_000_000 + int(text[19:].strip(".Z").ljust(9, "0")[:9] or 0)


def sample(clients, seconds):
    """Push delays of trades in milliseconds."""
    selector, delays, lost = watch(clients), [], 0
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            arrived = time.time_ns()
            events = key.data.events()
            if events is None:
                lost += 1
                selector.unregister(key.data.socket)
                continue
            for event in events:
                data = next((line[6:] for line in event.splitlines() if line.startswith(b"data: ")), None)
                for trade in (json.loads(data).get("trades", []) if data and b'"trades"' in data else []):
                    delays.append((arrived - nanos(trade["recv_ts"])) / 1e6)
    if lost:
        raise SystemExit(f"{lost} of {len(clients)} sampled clients lost their stream")
    return sorted(delays)


class Process:
    """A process of tapeline, and what it uses."""

    def __init__(self, command, pattern, env):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if found := re.search(pattern, line):
                self.found = found.group(1)
                return
        raise SystemExit(f"{' '.join(command)} ended before it printed /{pattern}/:\n{''.join(lines)}")

    def cpu(self):
        return process.cpu(self.process.pid)

    def kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def metric(address, name):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as reply:
        text = reply.read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def part(delays, share):
    return delays[min(len(delays) - 1, int(share * len(delays)))]


def shown(delays):
    if not delays:
        raise SystemExit("no trade arrived: has the tape ended? Measure for fewer --seconds, or at a lower --rate")
    return f"p50 {part(delays, 0.5):,.0f}  p99 {part(delays, 0.99):,.0f}  most {delays[-1]:,.0f} ms ({len(delays):,} trades)"


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.topic = options.topic or f"sqlite:{folder / 'topic.db'}"
        self.store = options.store or f"sqlite:{folder / 'market.db'}"
        self.env = {**os.environ, "APCA_API_KEY_ID": "any", "APCA_API_SECRET_KEY": "any", "TAPELINE__TOPIC__PREFIX": f"sse{os.getpid()}",
                    "TAPELINE__SERVE__IO_TIMEOUT": IO_TIMEOUT}
        self.drains = 0

    def start(self):
        self.fill()
        tapeline, urls = self.options.tapeline, ["--topic", self.topic, "--store", self.store]
        subprocess.run([tapeline, "init", *urls], env=self.env, check=True, stdout=subprocess.DEVNULL)
        self.simulator = Process([tapeline, "simulate", "alpaca", "--tape", f"tape:{self.options.tape}?kinds=trades", "--speed", "max",
                                  "--rate", str(self.options.rate), "--frame", "10", "--listen", "127.0.0.1:0"], r"API at (\S+):", self.env)
        address = self.simulator.found
        env = {**self.env, "TAPELINE__SOURCE__ALPACA__STREAM": f"ws://{address}", "TAPELINE__SOURCE__ALPACA__REST": f"http://{address}"}
        self.serve = Process([tapeline, "serve", "--listen", "127.0.0.1:0", *urls], r"dashboard: http://([^/\s]+)", env)
        source = f"alpaca:sip?symbols={','.join(SYMBOLS)}&label=lean.sip"
        self.record = subprocess.Popen([tapeline, "run", "--source", source, *urls], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.address = self.serve.found
        end = time.monotonic() + 60
        while self.published() == 0:
            if time.monotonic() > end or self.record.poll() is not None:
                raise SystemExit("no record has reached the topic")
            time.sleep(0.2)

    def published(self):
        with urllib.request.urlopen(f"http://{self.address}/api/v1/symbols", timeout=30) as reply:
            return sum(row["trades"] for row in json.load(reply)["rows"])

    def fill(self):
        """A topic of its own that nobody writes any more, for the drains."""
        self.backlog = self.options.topic or f"sqlite:{self.folder / 'backlog.db'}"
        self.backlog_env = {**self.env, "TAPELINE__TOPIC__PREFIX": f"sse{os.getpid()}-backlog"}
        source = f"tape:{self.options.tape}?kinds=trades&symbols={self.options.drained}"
        for verb in (["init", "--store", self.store], ["produce", "--source", source]):
            subprocess.run([self.options.tapeline, *verb, "--topic", self.backlog], env=self.backlog_env, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)

    def drain(self):
        """Records per second of a consumer of its own, from that topic into an empty store."""
        self.drains += 1
        urls = ["--topic", self.backlog, "--store", f"sqlite:{self.folder / f'drain{self.drains}.db'}"]
        subprocess.run([self.options.tapeline, "init", *urls], env=self.backlog_env, check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([self.options.tapeline, "consume", "--until-end", "--group", f"drain{self.drains}", *urls], env=self.backlog_env,
                              capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return int(re.search(r"([\d,]+) records/s", done.stdout + done.stderr).group(1).replace(",", ""))

    def measure(self, clients):
        """With a number of clients: delays, records per second on the topic, CPU share, memory, and the drains' rate."""
        seconds, others = self.options.seconds, None
        if clients > SAMPLED:
            others = subprocess.Popen([sys.executable, __file__, "--swarm", self.address, str(SAMPLED), str(clients)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
            if others.stdout.readline().strip() != "connected":
                raise SystemExit("the clients could not connect")
            time.sleep(2)
        # Last: what waits in a sampled client's socket while the others connect would count as delay.
        sampled = connect(self.address, range(min(SAMPLED, clients or 1)))
        (start, before, cpu) = (time.monotonic(), self.published(), self.serve.cpu())
        delays = sample(sampled, seconds)
        took = time.monotonic() - start
        result = {"delays": delays, "rate": (self.published() - before) / took, "cpu": (self.serve.cpu() - cpu) / took, "kib": self.serve.kib(),
                  "drain": self.drain(), "seen": {}}
        if others:
            result["seen"] = json.loads(others.communicate("end", timeout=60)[0])
        for client in sampled:
            client.socket.close()
        return result

    def freeze(self, count):
        """Frozen clients next to reading ones."""
        name = 'tapeline_http_slow_clients_total{outcome="disconnected"}'
        before = metric(self.address, name)
        sampled = connect(self.address, range(SAMPLED))
        # A small window, so that what the server writes fills it soon.
        frozen = [Client(self.address, number, window=4_096) for number in range(count)]
        delays, dropped, end = [], 0, time.monotonic() + 180
        while dropped < count and time.monotonic() < end:
            delays += sample(sampled, 2)
            dropped = metric(self.address, name) - before
        for client in sampled + frozen:
            client.socket.close()
        return int(dropped), sorted(delays)

    def stop(self):
        self.record.terminate()
        self.record.wait(timeout=60)
        self.serve.stop()
        self.simulator.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tapeline", default="target/release/tapeline")
    parser.add_argument("--tape", default="data/us-equities")
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--frozen", type=int, default=10)
    parser.add_argument("--drained", default=",".join(SYMBOLS), help="symbols of the drained topic")
    parser.add_argument("--topic")
    parser.add_argument("--store")
    options = parser.parse_args()
    # Terminated, it ends its processes as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory(prefix="tapeline-sse-") as folder:
        bench = Bench(options, Path(folder))
        bench.start()
        try:
            results = {0: [], options.clients: []}
            for _ in range(options.rounds):
                for clients in results:
                    one = bench.measure(clients)
                    results[clients].append(one)
                    print(f"{clients:>6,} clients: push {shown(one['delays'])}; {one['rate']:,.0f} records/s; server {100 * one['cpu']:.0f} % "
                          f"of a core, {one['kib'] / 1024:,.1f} MiB; drained {one['drain']:,} records/s {one['seen'] or ''}", flush=True)
            few, many = results[0], results[options.clients]
            mean = lambda all, name: statistics.mean(one[name] for one in all)
            print(f"memory per client: {(many[0]['kib'] - few[0]['kib']) / options.clients:,.1f} KiB")
            print(f"consumer with clients / without: {mean(many, 'drain') / mean(few, 'drain'):.2f}")
            dropped, delays = bench.freeze(options.frozen)
            print(f"frozen: {dropped} of {options.frozen} dropped; push to the others {shown(delays)}")
        finally:
            bench.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--swarm"]:
        swarm(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
