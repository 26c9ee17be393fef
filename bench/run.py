"""All benchmarks in one run on one machine; `cargo xtask bench [NAME …]` starts it with fresh servers.

Benchmarks: store, topic, bars, decode, live, latency, embedded, memory, query, readings, outage, consumers, tls. Rates are rows per second; ratios compare consecutive runs.
"""
import glob, os, re, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

KAFKA, CASSANDRA = os.environ["BENCH_KAFKA"], os.environ["BENCH_CASSANDRA"]
TAPE = os.environ.get("BENCH_TAPE") or ("../shared/data/us-equities" if Path("../shared/data/us-equities").is_dir() else "data/us-equities")
SOURCE = f"tape:{TAPE}?kinds=trades"
TAPELINE, BENCH, PYTHON = "target/release/tapeline", "target/release/bench", sys.executable
TOPIC, STORE = f"kafka://{KAFKA}", f"cassandra://{CASSANDRA}/bench"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
#: Most runs of a warm-up; and whether `store` compares with others besides the ceiling: for a first impression within minutes.
WARM_UP, PEERS = int(os.environ.get("BENCH_WARM_UP", "64")), os.environ.get("BENCH_PEERS") != "0"


def sh(*words, env=None, check=True, timeout=900):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=timeout)
    if check and done.returncode:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def rate(text):
    return int(re.search(r"([\d,]+) records/s", text)[1].replace(",", ""))


def prefixed(name, store=STORE):
    nodes = os.environ.get("BENCH_NODES", "1")
    env = {"TAPELINE__TOPIC__PREFIX": name, "TAPELINE__TOPIC__KAFKA__REPLICATION": nodes, "TAPELINE__STORE__CASSANDRA__REPLICATION": nodes}
    sh(TAPELINE, "init", "--topic", TOPIC, "--store", store, env=env)
    return env


def show(name, rates, base=None):
    middle = statistics.median(rates)
    ratio = f"  {base:.2f}" if base else ""
    print(f"  {name:44} {middle:>10,.0f}   {min(rates):,.0f} .. {max(rates):,.0f}{ratio}", flush=True)


def produce_to(env):
    return rate(sh(TAPELINE, "produce", "--replay", "--source", SOURCE, "--topic", TOPIC, env=env))


def consume(env, group, store=STORE, topic=TOPIC):
    return rate(sh(TAPELINE, "consume", "--until-end", "--group", group, "--topic", topic, "--store", store, env=env))


def ceiling(store=STORE):
    return int(sh(BENCH, "ceiling", SOURCE, store, 1).split()[-1])


def python_consume(seconds, in_flight, store=STORE):
    keyspace = store.rsplit("/", 1)[1]
    return int(sh(PYTHON, "bench/peers/consume.py", KAFKA, CASSANDRA, "bench.trades", keyspace, seconds, in_flight).split()[-1])


def spark():
    jars = os.environ["BENCH_SPARK_JARS"]
    out = tempfile.mkdtemp()
    sh("javac", "-cp", f"{jars}/*", "-d", out, "bench/peers/spark/Peer.java")
    opens = [f"--add-opens=java.base/{p}=ALL-UNNAMED" for p in ("java.lang", "java.lang.invoke", "java.io", "java.net", "java.nio",
             "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar")]
    text = sh("java", "-Xmx2g", *opens, "-cp", f"{jars}/*:{out}", "Peer", KAFKA, CASSANDRA, "bench.trades", "bench")
    shutil.rmtree(out)
    found = [int(rows) / float(s) for rows, s in re.findall(r"batch \d+ (\d+) rows ([\d.]+) s", text)]
    # The first batches warm the JVM up; the last may be short.
    return found[1:-1] or found


def warm_up(what, measure):
    """A JVM compiles hot code: at first a write costs Cassandra several times as much as later, and the last tenth
    of that takes some fifty million rows. Continues until the rate no longer rises: eight runs not a fiftieth above the eight
    before, by their medians; flushes, compactions and neighbours make single runs a third slower, so fewer prove nothing."""
    seen, middle = [], statistics.median
    while len(seen) < WARM_UP and (len(seen) % 8 or len(seen) < 16 or middle(seen[-8:]) > middle(seen[-16:-8]) * 1.02):
        seen.append(measure())
    print(f"  warming up, {what}: {', '.join(f'{rate:,}' for rate in seen)}", flush=True)


def in_turn(rounds):
    """Alternates the ceiling, Tapeline and the tutorial's consumer, because the machine's speed drifts."""
    top, ours, *tutorial = zip(*rounds)

    def ratios(base):
        each = [t / b for t, b in zip(ours, base)]
        print(f"    tapeline / this, round by round: {', '.join(f'{ratio:.3g}' for ratio in each)}; median {statistics.median(each):.3g}",
              flush=True)

    show("tapeline consume", ours)
    show("ceiling: the same batches from memory", top)
    ratios(top)
    for rates in tutorial:
        show("tutorial's Python consumer", rates)
        ratios(rates)
    return statistics.median(ours)


def store_arm():
    env = prefixed("bench")
    produce_to(env)
    print(f"store: rows per second acknowledged by Cassandra, {TAPE}, median  min .. max  ratio", flush=True)
    # A single-row statement takes another path through the server than a batch: both must be warm.
    peer = lambda seconds, *to: (python_consume(seconds, 0, *to),) if PEERS else ()
    warm_up("tapeline consume", lambda: (ceiling(), peer(2), consume(env, f"warm{time.time()}"))[2])
    print("  existing rows, as after a replay:", flush=True)
    middle = in_turn([(ceiling(), consume(env, f"g{i}"), *peer(10)) for i in range(3 * ROUNDS)])
    if PEERS:
        python = [python_consume(15, n) for n in (1, 200)]
        show("Python, one prepared execute per row", [python[0]], middle / python[0])
        show("Python, prepared, 200 in flight", [python[1]], middle / python[1])
        warmed = spark()
        show("Spark Structured Streaming, warmed up", warmed, middle / statistics.median(warmed))

    def new(name):
        store = f"cassandra://{CASSANDRA}/{name}"
        prefixed("bench", store)
        return store

    print("  new rows, a keyspace for each run: flushes in the meantime are of earlier runs", flush=True)
    in_turn([(ceiling(new(f"ceiling{i}")), consume(env, f"n{i}", new(f"ours{i}")), *peer(10, new(f"python{i}"))) for i in range(2 * ROUNDS)])


def topic_arm():
    env, rates = prefixed("topic"), {"tapeline": [], "java": []}
    jars = os.environ["BENCH_KAFKA_JARS"]
    produce_to(env)
    for _ in range(ROUNDS):
        text = sh("java", "-Xmx512m", "-cp", f"{jars}/*", "org.apache.kafka.tools.ProducerPerformance", "--topic", "topic.quotes",
                  "--num-records", 1_000_000, "--record-size", 190, "--throughput", -1, "--producer-props",
                  f"bootstrap.servers={KAFKA}", "acks=all", "compression.type=lz4", "linger.ms=5")
        rates["java"].append(float(re.search(r"1000000 records sent, ([\d.]+)", text)[1]))
        rates["tapeline"].append(produce_to(env))
    print("topic: messages per second acknowledged by Kafka, acks=all, lz4, linger 5 ms", flush=True)
    show("ProducerPerformance, 190 bytes, one payload", rates["java"])
    show("tapeline produce, unzipping and parsing", rates["tapeline"],
         statistics.median(t / j for t, j in zip(rates["tapeline"], rates["java"])))
    python = int(sh(PYTHON, "bench/peers/produce.py", KAFKA, "topic.trades", f"{TAPE}/tick/spy/20131008_trade.zip", 10).split()[-1])
    show("kafka-python", [python], statistics.median(rates["tapeline"]) / python)


def bars_arm():
    bench = lambda *words: sh(BENCH, "aggregate", *words).strip().splitlines()
    print(f"bars: trades per second aggregated into bars of 1s to 1d, {TAPE}", flush=True)
    memory = [int(line.split()[0]) for line in bench("memory", SOURCE, 5)]
    show("tapeline, in memory, one core, all intervals", memory)
    pandas = int(sh(PYTHON, "bench/peers/bars.py", "pandas", TAPE).split()[-1])
    show("pandas resample, in memory, one core", [pandas], statistics.median(memory) / pandas)
    spy = f"tape:{TAPE}?kinds=trades&symbols=SPY&dates=20131008"
    best = lambda n: min(float(line.split()[0]) for line in bench("symbols", spy, n, 5))
    cost = [{n: best(n) for n in (10, 100, 1_000, 10_000)} for _ in range(ROUNDS)]
    print("  ns per trade by number of symbols, best of 5 passes, round by round: "
          + "; ".join(", ".join(f"{n}: {ns:.0f}" for n, ns in row.items()) for row in cost), flush=True)
    grown = [row[10_000] / row[10] for row in cost]
    print(f"    10,000 / 10: {', '.join(f'{ratio:.2f}' for ratio in grown)}; median {statistics.median(grown):.2f}", flush=True)
    env = prefixed("bars")
    produce_to(env)
    read = lambda how="read": int(sh(BENCH, "aggregate", how, TOPIC, env=env).split()[-1])
    made = lambda: rate(sh(TAPELINE, "aggregate", "--until-end", "--group", f"g{time.time()}", "--topic", TOPIC, "--store", STORE, env=env))
    read(), read("make")
    warm_up("tapeline aggregate", made)
    rounds = [(read(), read("make"), made()) for _ in range(2 * ROUNDS)]
    pairs = [(r, m) for r, _, m in rounds]
    show("topic read and decoded only", [r for r, _ in pairs])
    for name, at in (("topic to bars, put nowhere", 1), ("tapeline aggregate: to bars on topic and table", 2)):
        show(name, [row[at] for row in rounds])
        print(f"    / read, round by round: {', '.join(f'{row[at] / row[0]:.2f}' for row in rounds)}; "
              f"median {statistics.median(row[at] / row[0] for row in rounds):.2f}", flush=True)
    python = int(sh(PYTHON, "bench/peers/bars.py", "window", KAFKA, "bars.trades", 15).split()[-1])
    show("Python, a window per message and interval", [python], statistics.median(m for _, m in pairs) / python)


def decode_arm():
    print("decode: trades per second from frames in the vendors' formats, one core: decoded; decoded and encoded in canonical form", flush=True)
    spy = f"tape:{TAPE}?kinds=trades&symbols=SPY&dates=20131008"
    for messages in (100, 1):
        for vendor in ("alpaca", "massive", "finnhub", "coinbase", "kraken", "binance"):
            if vendor == "binance" and messages > 1:
                continue
            rows = [list(map(int, line.split())) for line in sh(BENCH, "decode", vendor, spy, messages, 2 * ROUNDS - 1).splitlines()]
            column = lambda at: [row[at] for row in rows]
            show(f"{vendor}, {messages} per frame", column(0))
            show("    and encoded", column(1))
            if vendor == "alpaca":
                show("    serde_json's generic value", column(2), statistics.median(column(0)) / statistics.median(column(2)))
                with tempfile.NamedTemporaryFile("w") as file:
                    file.write(sh(BENCH, "decode", "frames", vendor, spy, messages))
                    file.flush()
                    loads, client = map(int, sh(PYTHON, "bench/peers/decode.py", file.name).split())
                show("    Python json.loads", [loads], statistics.median(column(0)) / loads)
                show("    alpaca-py: MessagePack to its Trade", [client], statistics.median(column(0)) / client)


def live_arm():
    import live
    for attempt in range(ROUNDS):
        print("live: peak of 65,980 quotes per second, Alpaca's stream to Kafka", flush=True)
        live.run(TAPE, TAPELINE, KAFKA, f"live{attempt}", prefixed(f"live{attempt}"))


def latency_arm():
    env = prefixed("latency")
    print("latency: 10,000 per second, from intended send time to Cassandra's acknowledgement, ms: p50 p99 p99.9", flush=True)
    for _ in range(ROUNDS):
        print("  ", sh(BENCH, "latency", SOURCE, TOPIC, STORE, 10_000, 25, env=env).strip().splitlines()[-1], flush=True)


def embedded():
    with tempfile.TemporaryDirectory() as dir:
        return rate(sh(TAPELINE, "run", "--source", SOURCE, "--topic", f"sqlite:{dir}/t.db", "--store", f"sqlite:{dir}/s.db"))


def embedded_arm():
    print("embedded: source to store in SQLite, records per second", flush=True)
    show("tapeline run, including bars", [embedded() for _ in range(ROUNDS)])
    show("tapeline demo, from a stock API at 150,000 per second", [rate(sh(TAPELINE, "demo", "--dir", "target/bench-demo")) for _ in range(ROUNDS)])


def watch(name, *words, env):
    """Runs to the end; samples resident MiB, and returns the peak."""
    process = subprocess.Popen([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **env})
    seen, peak = [], 0
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
            seen.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024)
            peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024
        except (FileNotFoundError, TypeError, ProcessLookupError):
            pass
        time.sleep(0.5)
    quarters = [statistics.median(seen[i * len(seen) // 4:(i + 1) * len(seen) // 4] or [0]) for i in range(4)]
    print(f"  {name}: peak {peak} MiB; median of each quarter {quarters}; exit {process.returncode}", flush=True)


def memory_arm():
    env = prefixed("memory")
    print("memory: resident MiB, 10 M records or more", flush=True)
    for i in range(9):
        produce_to(env)
    watch("produce (the tenth million)", TAPELINE, "produce", "--replay", "--source", SOURCE, "--topic", TOPIC, env=env)
    watch("consume, all of them", TAPELINE, "consume", "--until-end", "--topic", TOPIC, "--store", STORE, env=env)


def readings_arm():
    import readings
    readings.run(TAPELINE, KAFKA, CASSANDRA, PYTHON, prefixed, show, ROUNDS)


def outage_arm():
    import outage
    outage.run(TAPELINE, SOURCE, TOPIC, STORE, prefixed, sh)


def query_arm():
    print("query: ten minutes of one symbol", flush=True)
    with tempfile.TemporaryDirectory() as dir:
        stores = {"SQLite": lambda name: f"sqlite:{dir}/{name}.db", "Cassandra": lambda name: f"cassandra://{CASSANDRA}/query_{name}"}
        for engine, url in stores.items():
            print(f"  {engine}: {sh(BENCH, 'query', url('small'), url('large'), 1_000, 20, 500).strip().splitlines()[-1]}", flush=True)


def consumers_arm():
    import scale
    scale.run(TAPELINE, TOPIC, STORE, prefixed, produce_to, show, ROUNDS)


def tls_arm():
    import tls
    tls.run(KAFKA, CASSANDRA, prefixed, produce_to, consume, show, ROUNDS)


ARMS = {"topic": topic_arm, "store": store_arm, "bars": bars_arm, "decode": decode_arm, "live": live_arm, "latency": latency_arm, "embedded": embedded_arm, "memory": memory_arm,
        "query": query_arm, "readings": readings_arm, "outage": outage_arm, "consumers": consumers_arm, "tls": tls_arm}
unknown = [arm for arm in sys.argv[1:] if arm not in ARMS]
if unknown:
    sys.exit(f"unknown benchmark {', '.join(unknown)}; expected: {' '.join(ARMS)}")
for arm in sys.argv[1:] or ARMS:
    ARMS[arm]()
