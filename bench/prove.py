"""Every trade and quote of a tape folder through real Kafka and Cassandra: counted by independent code, verified
field for field, again after a second full run, again after kill -9. `cargo xtask prove [DIR]` starts it."""
import collections, glob, json, os, random, signal, subprocess, sys, time, zipfile
from pathlib import Path

KAFKA, CASSANDRA, DIR = os.environ["BENCH_KAFKA"], os.environ["BENCH_CASSANDRA"], sys.argv[1]
TAPELINE = "target/release/tapeline"


def urls(name):
    return ["--topic", f"kafka://{KAFKA}", "--store", f"cassandra://{CASSANDRA}/{name}"]


def run(name, *words):
    env = {**os.environ, "TAPELINE__TOPIC__PREFIX": name, "TAPELINE__TOPIC__GROUP": name,
           "TAPELINE__PRODUCE__POSITION_INTERVAL": "300ms", "TAPELINE__TOPIC__KAFKA__INSTANCE": "prove"}
    return subprocess.Popen([TAPELINE, *words, *urls(name)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def must(name, *words):
    process = run(name, *words)
    text = process.communicate()[0]
    if process.returncode:
        sys.exit(f"{words}: exit {process.returncode}\n{text}")
    return text


def tape():
    """Rows by kind and symbol, and distinct (symbol, millisecond) of the trades."""
    counts, moments = {"trades": collections.Counter(), "quotes": collections.Counter()}, 0
    for path in sorted(glob.glob(f"{DIR}/**/tick/*/*_*.zip", recursive=True)):
        symbol, kind = Path(path).parent.name.upper(), Path(path).stem.split("_")[1] + "s"
        archive = zipfile.ZipFile(path)
        rows = [row for row in archive.read(archive.namelist()[0]).split(b"\n") if row]
        counts[kind][symbol] += len(rows)
        if kind == "trades":
            moments += len({row.split(b",")[0] for row in rows})
    return {kind: dict(sorted(c.items())) for kind, c in counts.items()}, moments


def check(name, source, want, what):
    text = must(name, "count", "--format", "json")
    have = json.loads(text.strip().splitlines()[-1])
    assert have == want, (what, have, want)
    text = must(name, "verify", "--source", source)
    print(f"{what}: counts equal the files'; {text.strip().splitlines()[-1]}", flush=True)
    for line in text.splitlines():
        if "equal" in line or "repeat" in line:
            print("   ", line.strip())


want, moments = tape()
total = sum(want["trades"].values())
print(f"the tape: {want}\n  {total:,} trades; a (symbol, millisecond) key would leave {moments:,} rows and lose "
      f"{total - moments:,} ({100 * (total - moments) / total:.1f} %)", flush=True)
everything, trades = f"tape:{DIR}", f"tape:{DIR}?kinds=trades"
must("prove", "init")
must("prove", "run", "--source", everything)
check("prove", everything, want, "one run")
must("prove", "run", "--source", everything, "--replay")
check("prove", everything, want, "a second full run")

must("killed", "init")
random.seed(20131008)
kills = {"consume": 0, "produce": 0}
producer = None
while kills["consume"] < 24 or kills["produce"] < 12:
    consumer = run("killed", "consume")
    if kills["produce"] < 12:
        producer = run("killed", "produce", "--source", trades + "&speed=4000")
    time.sleep(0.4 + random.random() * 1.6)
    for name, process in (("consume", consumer), ("produce", producer)):
        if process and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills[name] += 1
        if process:
            process.communicate()
    producer = None
print(f"killed with -9: {kills}", flush=True)
must("killed", "produce", "--source", trades)
must("killed", "consume", "--until-end")
check("killed", trades, {"trades": want["trades"], "quotes": {}}, "after the kills")

must("outage", "init")
process = run("outage", "run", "--source", trades)
for name in ("BENCH_CASSANDRA_PID", "BENCH_KAFKA_PID"):
    time.sleep(1.5)
    os.kill(int(os.environ[name]), signal.SIGSTOP)
    time.sleep(15)
    os.kill(int(os.environ[name]), signal.SIGCONT)
text = process.communicate(timeout=300)[0]
assert process.returncode == 0, text
warnings = [line for line in text.splitlines() if "WARN" in line]
print(f"each server paused for 15 s in the middle; {len(warnings)} warnings logged: {warnings[:1]}", flush=True)
check("outage", trades, {"trades": want["trades"], "quotes": {}}, "after the outages")
