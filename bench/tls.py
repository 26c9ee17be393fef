"""What encryption costs: `cargo xtask bench tls` on servers that accept TLS and plaintext.

`consume` of the same topic into the same table, alternately: plaintext to both servers; TLS and SCRAM-SHA-512 to Kafka, TLS to
Cassandra, which demands a password either way. Rows exist already, as after a replay.
"""
import os, statistics, time
from pathlib import Path

#: Runs until the server's rate hardly rises any more.
WARM_UP = 5


def run(kafka, cassandra, prefixed, produce_to, consume, show, rounds):
    host, port = kafka.rsplit(":", 1)
    certificates = Path(os.environ["BENCH_CERTIFICATES"])
    ca = str(certificates / "ca.crt")
    os.environ.update({"TAPELINE__STORE__CASSANDRA__USERNAME": "cassandra", "TAPELINE__STORE__CASSANDRA__PASSWORD": "cassandra"})
    env = prefixed("tls")
    produce_to(env)
    # Three above the plaintext port, the servers here demand TLS and a password.
    secured = {**env, "TAPELINE__TOPIC__KAFKA__TLS__ENABLED": "true", "TAPELINE__TOPIC__KAFKA__TLS__CA": ca,
               "TAPELINE__TOPIC__KAFKA__SASL__MECHANISM": "SCRAM-SHA-512", "TAPELINE__TOPIC__KAFKA__SASL__USERNAME": "tapeline",
               "TAPELINE__TOPIC__KAFKA__SASL__PASSWORD": (certificates / "password").read_text(),
               "TAPELINE__STORE__CASSANDRA__TLS__ENABLED": "true", "TAPELINE__STORE__CASSANDRA__TLS__CA": ca}
    one = lambda env, topic: consume(env, f"tls{time.time()}", f"cassandra://{cassandra}/bench", topic)
    pair = lambda: (one(env, f"kafka://{kafka}"), one(secured, f"kafka://{host}:{int(port) + 3}"))
    print("tls: rows per second acknowledged by Cassandra", flush=True)
    for _ in range(WARM_UP):
        pair()
    open, encrypted = zip(*(pair() for _ in range(2 * rounds)))
    show("plaintext", open)
    ratios = [e / o for o, e in zip(open, encrypted)]
    show("TLS, and SCRAM for Kafka", encrypted, statistics.median(ratios))
    print(f"    TLS / plaintext, round by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}", flush=True)
