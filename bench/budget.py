"""Broker, produce, consume and serve in one memory limit at a steady rate: does the pipeline fit a machine of 1 GiB?

    python bench/budget.py TAPELINE TAPE [--minutes 60] [--round 10] [--rate 1000] [--limit 900] [--out FILE]

The broker runs with the heap and the settings that deploy/aws/user-data.sh gives a machine below 2 GiB. It, `produce`, `consume` and
`serve` share one memory cgroup, whose limit is enforced by the kernel and counts the page cache as well; the simulated API
and Cassandra (BENCH_CASSANDRA) are outside. The tape begins again every ten minutes, with a new `produce`; the others run throughout.
Prints the resident memory of each process and the cgroup's over time, how many processes the kernel killed, and the numbers of
records produced and stored. Needs root, and the memory controller of cgroup v1 or v2. Exits with 1 if a process was killed, a
record is missing, or the rate was not kept.
"""
import argparse
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
MIB = 1 << 20


class Cgroup:
    """A memory limit for the processes that are started in it."""

    def __init__(self, limit):
        base = pathlib.Path("/sys/fs/cgroup")
        self.is_v2 = (base / "cgroup.controllers").exists()
        self.path = (base if self.is_v2 else base / "memory") / f"tapeline-budget-{os.getpid()}"
        self.path.mkdir()
        (self.path / ("memory.max" if self.is_v2 else "memory.limit_in_bytes")).write_text(str(limit))
        if int(self.read("memory.max", "memory.limit_in_bytes")) != limit:
            raise SystemExit("error: the memory limit cannot be set")

    def read(self, v2, v1):
        return (self.path / (v2 if self.is_v2 else v1)).read_text().strip()

    def used(self):
        return int(self.read("memory.current", "memory.usage_in_bytes"))

    def kills(self):
        return int(re.search(r"^oom_kill (\d+)", self.read("memory.events", "memory.oom_control"), re.M)[1])

    def start(self, command, log, **options):
        shell = f'echo $$ > {self.path}/cgroup.procs && exec "$@"'
        with open(log, "w") as out:
            return subprocess.Popen(["bash", "-c", shell, "bash", *command], stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, holds, process, log, seconds=300):
    end = time.monotonic() + seconds
    while not holds():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"error: {what} did not come up:\n{pathlib.Path(log).read_text()[-3000:]}")
        time.sleep(0.3)


def resident(process):
    text = pathlib.Path(f"/proc/{process.pid}/status")
    found = re.search(r"VmRSS:\s+(\d+)", text.read_text()) if text.exists() else None
    return int(found[1]) * 1024 if found else 0


def settings_of_a_small_machine(folder, ports):
    """Heap and server.properties as the user data writes them, with other ports and folders."""
    script = (ROOT / "deploy/aws/user-data.sh").read_text()
    heap = re.search(r'-lt 2048 \]; then\s+heap="([^"]+)"', script)[1].split()
    text = re.search(r"put /etc/kafka/server\.properties 644 <<EOF\n(.*?)\nEOF", script, re.S)[1]
    text = re.sub(r"\$\(\(NODES > 1 \? 2 : 1\)\)|\$NODES|\$NODE", "1", text)
    for name, value in {"$ZONE": "a", "$voters": f"1@127.0.0.1:{ports[1]}",
                        "$listeners": f"CLIENTS://127.0.0.1:{ports[0]},CONTROLLER://127.0.0.1:{ports[1]}",
                        "$advertised": f"CLIENTS://127.0.0.1:{ports[0]}",
                        "inter.broker.listener.name=LOCAL": "inter.broker.listener.name=CLIENTS",
                        "LOCAL:PLAINTEXT,": "", "/var/lib/kafka/data": f"{folder}/kafka"}.items():
        text = text.replace(name, value)
    assert "$" not in text, text
    (folder / "server.properties").write_text(text + "\n")
    return heap


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("tape")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--limit", type=int, default=900, help="MiB: 1 GiB less what the operating system needs")
    parser.add_argument("--round", type=float, default=10, help="minutes after which the tape begins again: before its end, which at 1,000 records/s the bundled day reaches after 10.9")
    parser.add_argument("--out", default="")
    options = parser.parse_args()
    jars, cassandra = os.environ["BENCH_KAFKA_JARS"], os.environ["BENCH_CASSANDRA"]
    java = os.environ.get("BENCH_JAVA", "java")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-budget-"))
    cgroup = Cgroup(options.limit * MIB)
    ports = [free_port() for _ in range(5)]
    heap = settings_of_a_small_machine(folder, ports)
    classpath = ["-cp", f"{jars}/*"]
    properties = str(folder / "server.properties")
    subprocess.run([java, *classpath, "kafka.tools.StorageTool", "format", "-t", "dGFwZWxpbmUtbG9jYWwtMA", "-c", properties], check=True, capture_output=True)
    keyspace = f"budget_{os.getpid()}"
    places = ["--topic", f"kafka://127.0.0.1:{ports[0]}", "--store", f"cassandra://{cassandra}/{keyspace}"]
    environment = {**os.environ, "TAPELINE__LOG__LEVEL": "warn", "NO_PROXY": "127.0.0.1", "APCA_API_KEY_ID": "key", "APCA_API_SECRET_KEY": "secret"}
    processes, started = {}, []

    def start(name, command, inside=True, **more):
        log = folder / f"{name}.log"
        if inside:
            process = cgroup.start(command, log, env={**environment, **more}, cwd=folder)
            processes[name] = process
        else:
            with open(log, "w") as out:
                process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env={**environment, **more}, cwd=folder)
        started.append(process)
        return process, log

    def listens(port):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    lines = []

    def say(line):
        print(line, flush=True)
        lines.append(line)

    try:
        broker, log = start("broker", [java, *heap, *classpath, "kafka.Kafka", properties])
        wait_for("the broker", lambda: "Kafka Server started" in log.read_text(), broker, log)
        subprocess.run([options.program, "init", *places], check=True, env=environment, cwd=folder)
        api = f"127.0.0.1:{ports[2]}"
        start("consume", [options.program, "consume", *places])
        start("serve", [options.program, "serve", *places, "--listen", f"127.0.0.1:{ports[3]}"])
        symbols = sorted({path.parent.name.upper() for path in pathlib.Path(options.tape).glob("**/tick/*/*.zip")})
        source = f"alpaca:sip?symbols={','.join(symbols)}&kinds=trades,quotes"
        produced, simulator = [], None

        def play():
            """Starts the tape from its beginning: a simulated API, and `produce` on it."""
            nonlocal simulator
            simulator, log = start("simulator", [options.program, "simulate", "alpaca", "--tape", options.tape, "--speed", "max",
                                                 "--rate", str(options.rate), "--listen", api], inside=False)
            wait_for("the simulator", lambda: listens(ports[2]), simulator, log)
            start("produce", [options.program, "produce", *places, "--source", source], TAPELINE__SOURCE__ALPACA__STREAM=f"ws://{api}",
                  TAPELINE__SOURCE__ALPACA__REST=f"http://{api}", TAPELINE__SOURCE__STALL="10m", TAPELINE__SOURCE__BACKFILL="false")

        def stop(name):
            processes[name].send_signal(signal.SIGTERM)
            processes[name].wait(120)
            return int(re.search(r"^\s+total\s+([\d,]+)", (folder / f"{name}.log").read_text(), re.M)[1].replace(",", ""))

        play()
        say(f"{options.rate:,} records/s of {len(symbols)} symbols, limit {options.limit} MiB, kernel {os.uname().release}, {os.cpu_count()} cores; MiB resident")
        say("minute  " + "  ".join(f"{name:>8}" for name in processes) + "    cgroup  killed")
        begin = time.monotonic()
        peaks = {name: 0 for name in [*processes, "cgroup"]}
        next_line, next_round = 0.0, begin + options.round * 60
        while time.monotonic() - begin < options.minutes * 60:
            if time.monotonic() > next_round:
                produced.append(stop("produce"))
                simulator.terminate()
                simulator.wait(30)
                play()
                next_round = time.monotonic() + options.round * 60
            now = {name: resident(process) for name, process in processes.items()} | {"cgroup": cgroup.used()}
            peaks = {name: max(peaks[name], size) for name, size in now.items()}
            minute = (time.monotonic() - begin) / 60
            if minute >= next_line:
                say(f"{minute:6.1f}  " + "  ".join(f"{size / MIB:8.0f}" for size in now.values()) + f"  {cgroup.kills():6}")
                next_line += max(1.0, options.minutes / 20)
            ended = [name for name, process in processes.items() if process.poll() is not None]
            if ended or simulator.poll() is not None:
                say(f"ended: {', '.join(ended) or 'simulator'}")
                break
            time.sleep(2)
        say("  peak  " + "  ".join(f"{size / MIB:8.0f}" for size in peaks.values()) + f"  {cgroup.kills():6}")
        seconds = time.monotonic() - begin
        early = seconds < options.minutes * 60 - 5
        produced.append(stop("produce"))
        time.sleep(5)
        stored = stop("consume")
        say(f"{sum(produced):,} records produced in {seconds:,.0f} s: {sum(produced) / seconds:,.0f}/s; {stored:,} stored")
        verdict = cgroup.kills() == 0 and not early and stored == sum(produced) > 0.9 * options.rate * seconds
        say("within the limit" if verdict else "NOT within the limit")
        if options.out:
            pathlib.Path(options.out).write_text("\n".join(lines) + "\n")
        return 0 if verdict else 1
    finally:
        for process in reversed(started):
            if process.poll() is None:
                process.terminate()
        for process in started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        cgroup.path.rmdir()


if __name__ == "__main__":
    sys.exit(main())
