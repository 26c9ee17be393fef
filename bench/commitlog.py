"""What it costs that Cassandra syncs its commit log before it acknowledges (`commitlog_sync: group`, as in the local stack).

    bench/commitlog.py [--tapeline target/release/tapeline] [--xtask target/debug/xtask] [--rounds 3]

The same consumer stores the bundled trades in the local stack, with `group` and with Cassandra's default `periodic`, alternating;
the node is restarted in between, one run warms it up, two are measured. Deletes the data of the local stack.
"""
import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "deploy/local/cassandra/cassandra.yaml"
SYNC, PERIODIC = "{sync}", "commitlog_sync: periodic\ncommitlog_sync_period: 10000ms"
KAFKA, CASSANDRA = "kafka://127.0.0.1:9092", "cassandra://127.0.0.1:9042"
SOURCE = "tape:data/us-equities?speed=max&kinds=trades"


def sh(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def consume(tapeline, keyspace):
    places = ["--topic", KAFKA, "--store", f"{CASSANDRA}/{keyspace}"]
    sh(tapeline, "init", *places)
    text = sh(tapeline, "consume", "--until-end", "--group", keyspace, *places)
    return int(re.search(r"([\d,]+) records/s", text)[1].replace(",", ""))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tapeline", type=Path, default=ROOT / "target/release/tapeline")
    parser.add_argument("--xtask", type=Path, default=ROOT / "target/debug/xtask")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    tapeline, xtask = options.tapeline.resolve(), options.xtask.resolve()
    shipped = TEMPLATE.read_text()
    rates = {"group": [], "periodic": []}
    sh(xtask, "stack", "wipe")
    try:
        sh(xtask, "stack", "up")
        sh(tapeline, "init", "--topic", KAFKA, "--store", f"{CASSANDRA}/commitlog")
        sh(tapeline, "produce", "--topic", KAFKA, "--source", SOURCE)
        for number in range(options.rounds):
            for mode in rates:
                sh(xtask, "stack", "down")
                TEMPLATE.write_text(shipped.replace(SYNC, PERIODIC) if mode == "periodic" else shipped)
                sh(xtask, "stack", "up")
                measured = [consume(tapeline, f"commitlog_{mode}_{number}_{run}") for run in range(3)][1:]
                rates[mode] += measured
                print(f"{mode}: {measured}", flush=True)
    finally:
        TEMPLATE.write_text(shipped)
        sh(xtask, "stack", "wipe")
    middle = {mode: statistics.median(found) for mode, found in rates.items()}
    for mode, found in rates.items():
        print(f"  {mode:10} {middle[mode]:>10,.0f} rows/s   {min(found):,.0f} .. {max(found):,.0f}")
    print(f"  group / periodic: {middle['group'] / middle['periodic']:.2f}")


if __name__ == "__main__":
    sys.exit(main())
