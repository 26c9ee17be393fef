"""Consumers of one group on a backlog: `cargo xtask bench consumers` on one broker and one Cassandra node, then on three of each.

One, two and four consumers in turns. A rate is what all of them store during a window that begins some seconds after the first row:
start-up and rebalances are not in it. Rows exist already, as after a replay. A symbol is in one partition, and the tape has four: a member
whose partitions hold none has nothing to do, which is counted.
"""
import os, signal, statistics, subprocess, time

import process

COUNTS = (1, 2, 4)
SECONDS = 10
#: From the first row to the window: time for all members to join.
SETTLE = 4
#: Enough for the longest window on a fast machine.
PASSES = 4
FIRST_PORT = 17_480


class Consumer:
    def __init__(self, tapeline, number, group, topic, store, env):
        self.listen = f"127.0.0.1:{FIRST_PORT + number}"
        env = {**os.environ, **env, "TAPELINE__METRICS__LISTEN": self.listen}
        words = [tapeline, "consume", "--group", group, "--topic", topic, "--store", store]
        self.process = subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stored(self):
        return process.stored(self.listen)

    def cpu(self):
        return process.cpu(self.process.pid)


def measure(tapeline, count, group, topic, store, env):
    """Records per second of all consumers, the cores that they use, and how many of them store anything."""
    consumers = [Consumer(tapeline, number, group, topic, store, env) for number in range(count)]
    try:
        end = time.monotonic() + 60
        while not any(consumer.stored() for consumer in consumers):
            if time.monotonic() > end:
                raise SystemExit(f"{count} consumers: they stored nothing within a minute")
            time.sleep(0.1)
        time.sleep(SETTLE)
        begun, before, cpu = time.monotonic(), [c.stored() for c in consumers], sum(c.cpu() for c in consumers)
        time.sleep(SECONDS)
        after, took = [c.stored() for c in consumers], time.monotonic() - begun
        cpu = sum(c.cpu() for c in consumers) - cpu
        busy = sum(now > then for now, then in zip(after, before))
        return (sum(after) - sum(before)) / took, cpu / took, busy
    finally:
        for consumer in consumers:
            consumer.process.send_signal(signal.SIGTERM)
        for consumer in consumers:
            consumer.process.wait(60)


def run(tapeline, topic, store, prefixed, produce_to, show, rounds):
    nodes = os.environ.get("BENCH_NODES", "1")
    env = prefixed("consumers")
    for _ in range(PASSES):
        produce_to(env)
    print(f"consumers: rows per second of one group, brokers and Cassandra nodes: {nodes} of each", flush=True)
    # Two passes: the rows exist then, and the servers are warm.
    measured = {count: [] for count in COUNTS}
    for round in range(-2, rounds):
        for count in COUNTS:
            found = measure(tapeline, count, f"consumers{count}.{time.time()}", topic, store, env)
            if round >= 0:
                measured[count].append(found)
    base = statistics.median(rate for rate, *_ in measured[COUNTS[0]])
    for count, found in measured.items():
        rates = [rate for rate, *_ in found]
        cores, busy = statistics.median(cores for _, cores, _ in found), found[-1][2]
        show(f"{count} consumer(s), {busy} with symbols, using {cores:.2f} cores", rates, statistics.median(rates) / base)
