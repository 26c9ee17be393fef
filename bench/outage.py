"""Cassandra stands still for five minutes (BENCH_OUTAGE seconds) while 20,000 records a second arrive: memory of the consumer,
rebalances of its group, and its rate while it catches up, compared with its rate on a backlog without an outage.

`cargo xtask bench outage` starts it with fresh servers.
"""
import os, re, signal, statistics, subprocess, time

import process

SECONDS = int(os.environ.get("BENCH_OUTAGE", "300"))
# The tape has 1,042,557 trades in two days, with the night between them: 20,000 a second on average.
SPEED = 2_000
METRICS = "127.0.0.1:17479"


class Consumer:
    def __init__(self, tapeline, topic, store, env):
        self.log = open("target/outage.log", "w+")
        env = {**os.environ, **env, "TAPELINE__METRICS__LISTEN": METRICS}
        self.process = subprocess.Popen([tapeline, "consume", "--topic", topic, "--store", store], env=env, stdout=self.log, stderr=self.log)

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) // 1024

    def stored(self):
        return process.stored(METRICS)

    def rebalances(self):
        self.log.flush()
        with open("target/outage.log") as log:
            return sum("revoked" in line or "rebalance" in line for line in log)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def pause(pid, seconds, sample):
    os.kill(pid, signal.SIGSTOP)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            sample()
            time.sleep(1)
    finally:
        os.kill(pid, signal.SIGCONT)


def catch_up(consumer, target, sample):
    """Records per second from the first that is stored until the target, and in each tenth of that time."""
    before = consumer.stored()
    while (now := consumer.stored()) == before:
        time.sleep(0.2)
    seen = [(time.monotonic(), now)]
    while (now := consumer.stored()) < target and consumer.process.poll() is None:
        seen.append((time.monotonic(), now))
        sample()
        time.sleep(0.2)
    seen.append((time.monotonic(), now))
    (begun, first), (ended, last) = seen[0], seen[-1]
    ends = [min(seen, key=lambda point: abs(point[0] - begun - (ended - begun) * tenth / 10)) for tenth in range(11)]
    tenths = [(b[1] - a[1]) / max(b[0] - a[0], 1e-9) for a, b in zip(ends, ends[1:])]
    return (last - first) / (ended - begun), tenths


def run(tapeline, source, topic, store, prefixed, sh):
    pid = int(os.environ["BENCH_CASSANDRA_PID"])
    env = prefixed("outage")
    print(f"outage: Cassandra stands still for {SECONDS} s, about 20,000 records a second arrive", flush=True)
    consumer = Consumer(tapeline, topic, store, env)
    resident = []
    sample = lambda: resident.append(consumer.resident())
    paced = [tapeline, "produce", "--replay", "--source", f"{source}&speed={SPEED}", "--topic", topic]
    published = 0
    producing = subprocess.Popen(paced, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def keep_producing():
        nonlocal producing, published
        sample()
        if producing.poll() is not None:
            published += count(producing.stdout.read())
            producing = subprocess.Popen(paced, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    while consumer.stored() < 100_000:
        time.sleep(0.5)
    calm = consumer.resident()
    pause(pid, SECONDS, keep_producing)
    producing.send_signal(signal.SIGTERM)
    published += count(producing.communicate()[0])
    caught, tenths = catch_up(consumer, published, sample)
    stored, rebalances = consumer.stored(), consumer.rebalances()
    code = consumer.stop()
    backlog = int(re.search(r"([\d,]+) records/s", sh(tapeline, "consume", "--until-end", "--group", "outage_calm", "--topic", topic, "--store", store, env=env))[1].replace(",", ""))
    print(f"  published {published:,}, stored {stored:,}; exit {code}", flush=True)
    print(f"  resident MiB: {calm} before, median {statistics.median(resident):.0f}, at most {max(resident)}", flush=True)
    print(f"  rebalances reported: {rebalances}", flush=True)
    print(f"  records per second: {caught:,.0f} while catching up, {backlog:,} on a backlog without outage: {caught / backlog:.2f}", flush=True)
    print(f"    by tenths of the time: {', '.join(f'{tenth:,.0f}' for tenth in tenths)}", flush=True)


def count(text):
    """Records that a producer reports in its summary."""
    found = re.findall(r"^ +total +([\d,]+)", text, re.M)
    return int(found[-1].replace(",", "")) if found else 0
