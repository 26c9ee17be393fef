"""`tapeline redshift`: statements parsed by sqlglot as Redshift's, and run on PostgreSQL where the syntax is shared, behind a stub of
the Data API (data_api.py) that reads the archive's files from S3 (moto)."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

import data_api
from common import Failed, expect, free_port, output, program
from emulators import emulator

ROLE = "arn:aws:iam::123456789012:role/load"
ROOT = Path(__file__).resolve().parents[2]
KEYS = {"trades": ["symbol", "ts_ns", "feed", "venue", "id"], "readings": ["series", "ts_ns", "feed", "seq"]}


@contextmanager
def postgres(folder):
    """PostgreSQL; yields what runs a script in one transaction and returns the rows of its last statement."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not found or not shutil.which("runuser"):
        raise Failed("PostgreSQL is missing\nhint: apt-get install postgresql")
    bin = found[-1]
    data = Path(tempfile.mkdtemp(dir="/tmp"))
    shutil.chown(data, "postgres")
    port = free_port()
    as_postgres = ["runuser", "-u", "postgres", "--"]
    output([*as_postgres, str(bin / "initdb"), "-D", f"{data}/data", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"], cwd=data)
    server = [*as_postgres, str(bin / "pg_ctl"), "-D", f"{data}/data"]
    output([*server, "-w", "-l", f"{data}/log", "-o", f"-h 127.0.0.1 -p {port} -k {data}", "start"], cwd=data, timeout=120)

    def sql(text):
        psql = [str(bin / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-qAtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-1", "-f", "-"]
        run = subprocess.run(psql, input=text, capture_output=True, text=True, cwd=folder)
        if run.returncode != 0:
            raise data_api.Refused(f"PostgreSQL: {run.stderr}")
        return [line.split("\t") for line in run.stdout.splitlines()]

    try:
        yield sql
    finally:
        output([*server, "-m", "immediate", "stop"], cwd=data)
        shutil.rmtree(data)


def parsed(statements):
    """Checks each statement by sqlglot, and what it does not look at."""
    for statement in statements:
        words = " ".join(statement.split()[:3])
        if statement.startswith("LOCK "):
            expect(re.fullmatch(r"LOCK \w+\.loads", statement), "LOCK is literal, for sqlglot does not parse it")
            continue
        tree = sqlglot.parse_one(statement, read="redshift")
        expect(not isinstance(tree, exp.Command), f"sqlglot understands: {words}")
        if statement.startswith("CREATE TABLE"):
            columns = [c.name for c in tree.find_all(exp.ColumnDef)]
            for key in re.findall(r"(?:DISTKEY|SORTKEY|PRIMARY KEY) \(([^)]*)\)", statement):
                expect(all(column.strip() in columns for column in key.split(",")), f"{tree.find(exp.Table).name}: key columns {key} exist")
        if statement.startswith("COPY"):
            wanted = r"COPY stage FROM 's3://tapes/archive/_loads/\w+-[0-9a-f]{32}\.json' IAM_ROLE '" + ROLE + "' FORMAT AS PARQUET MANIFEST"
            expect(re.fullmatch(wanted, statement), "COPY is literal, for sqlglot does not check its options")


def newest(archive, kind):
    """What the table should hold, from the archive's files: of each key the latest version."""
    rows = {}
    for path in sorted((archive / f"kind={kind}").rglob("*.parquet")):
        table = pq.ParquetFile(path).read()
        for row in table.to_pylist():
            key = tuple(row[name] for name in KEYS[kind])
            version = (row["topic_ms"], row.get("revision", 0), row["topic_offset"])
            if key not in rows or rows[key][0] < version:
                rows[key] = (version, row)
    return {key: row for key, (_, row) in rows.items()}


def check():
    with tempfile.TemporaryDirectory() as name, emulator("moto") as environment, postgres(name) as sql:
        folder = Path(name)
        tapeline = program(folder)
        s3 = boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1",
                          aws_access_key_id=data_api.KEY, aws_secret_access_key=data_api.SECRET)
        s3.create_bucket(Bucket="tapes")

        def columns(table):
            schema, table = table.split(".")
            return [tuple(row) for row in sql(
                "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = "
                f"'{schema}.{table}'::regclass AND a.attnum > 0 ORDER BY a.attnum;")]

        warehouse = data_api.Warehouse(sql, columns, s3)
        server = data_api.serve(warehouse)
        settings = {
            "AWS_ENDPOINT_URL_S3": environment["AWS_ENDPOINT_URL"], "AWS_ACCESS_KEY_ID": data_api.KEY,
            "AWS_SECRET_ACCESS_KEY": data_api.SECRET, "AWS_REGION": "us-east-1", "NO_PROXY": "127.0.0.1,localhost",
            "TAPELINE__ARCHIVE__ROWS": "4000", "TAPELINE__TOPIC__PARTITIONS": "3",
            "TAPELINE__REDSHIFT__WORKGROUP": "group", "TAPELINE__REDSHIFT__SCHEMA": "market", "TAPELINE__REDSHIFT__ROLE": ROLE,
            "AWS_ENDPOINT_URL_REDSHIFT_DATA": f"http://127.0.0.1:{server.server_port}",
        }
        places = ["--topic", f"sqlite:{folder}/t.db", "--store", f"sqlite:{folder}/s.db"]
        trades = f"tape:{ROOT}/data/us-equities?speed=max&kinds=trades&symbols=AIG"
        # Values of every type, and texts that need care on their way.
        values = ["1.5", "2i", "true", '"a, b; |c| \'d\' é"', "-0.000000000000000001"]
        (folder / "readings.line").write_text("".join(
            f"plant,unit=C,place=hall\\ {n % 7} temperature_{n % 5}={values[n % 5]} {1_760_000_000_000_000_000 + n * 1_000_000_007}\n" for n in range(3_000)))
        readings = f"lines:{folder}/readings.line?format=influx&feed=plant"

        def run(*arguments, **more):
            command = [tapeline, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, **settings, **more})
            if done.returncode != 0:
                raise Failed(f"`{' '.join(command)}` exits with {done.returncode}: {done.stdout}{done.stderr}")
            return done.stdout

        def archive():
            run("archive", *places, "--archive", "s3://tapes/archive", "--until-end", "-q")

        def load():
            return run("redshift", "load", "--archive", "s3://tapes/archive")

        def copy():
            shutil.rmtree(folder / "copy", ignore_errors=True)
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket="tapes", Prefix="archive/"):
                for item in page.get("Contents", []):
                    path = folder / "copy" / item["Key"]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(s3.get_object(Bucket="tapes", Key=item["Key"])["Body"].read())
            return folder / "copy/archive"

        def compare(what):
            at = copy()
            for kind in KEYS:
                wanted = newest(at, kind)
                names = [name for name, _ in columns(f"market.{kind}")]
                found = sql(f"SELECT * FROM market.{kind};")
                expect(len(found) == len(wanted) > 1_000, f"{what}: {len(found):,} {kind}, each once")
                for row in found:
                    row = dict(zip(names, row))
                    key = tuple(int(row[n]) if n in ("ts_ns", "seq") else row[n] for n in KEYS[kind])
                    for column, value in wanted[key].items():
                        text = "" if value is None else ("t" if value else "f") if isinstance(value, bool) else format(value, "f") if isinstance(value, Decimal) else str(value)
                        if row[column] != text:
                            raise Failed(f"{kind} {key}: {column} is {row[column]}, expected {text}")
            print("ok:", what, "every field equal", flush=True)

        tables = [s.strip() for s in run("redshift", "ddl").split(";") if s.strip()]
        expect(len(tables) == 5, f"`redshift ddl` prints {len(tables)} statements")
        parsed(tables)

        run("produce", "-q", *places, "--source", trades)
        archive()
        # Killed while Redshift works: the statement finishes on its own, and the next run repeats it.
        warehouse.slow.clear()
        victim = subprocess.Popen([tapeline, "redshift", "load", "--archive", "s3://tapes/archive"], cwd=folder,
                                  env={**os.environ, **settings}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        while not warehouse.statements:
            time.sleep(0.05)
        warehouse.slow.set()
        while not any(s["sql"][0].startswith("LOCK") for s in list(warehouse.statements.values())):
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        print("ok: killed after it had submitted a load", flush=True)
        # Two at once.
        both = [subprocess.Popen([tapeline, "redshift", "load", "--archive", "s3://tapes/archive"], cwd=folder, env={**os.environ, **settings},
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
        for process in both:
            text, _ = process.communicate(timeout=600)
            expect(process.returncode == 0, f"two loads at once: {text.strip().splitlines()[-1]}")
        for statement in warehouse.statements.values():
            expect(statement["end"] == "FINISHED", f"{statement['sql'][0].split('(')[0].strip()}: {statement['error'] or 'finished'}")
        batch = next(s["sql"] for s in warehouse.statements.values() if s["sql"][0].startswith("LOCK"))
        parsed(batch)

        run("produce", "-q", *places, "--source", readings)
        archive()
        before = len(warehouse.copied)
        load()
        compare("trades, then readings")
        fresh = warehouse.copied[before:]
        expect(fresh and all("kind=readings" in url for url in fresh), f"only what is new is read: {len(fresh)} files of readings")
        # The topic delivers at least once: everything a second time, with later timestamps.
        run("produce", "-q", *places, "--source", trades, "--replay")
        archive()
        load()
        compare("published twice")
        before = len(warehouse.copied)
        expect("0 records from 0 objects" in load(), "loaded again: nothing to do")
        run("archive", "compact", "--archive", "s3://tapes/archive", TAPELINE__ARCHIVE__ROWS="1000000")
        expect("0 records from 0 objects" in load() and len(warehouse.copied) == before, "what was compacted is not loaded again")
        compare("after compaction")
        server.shutdown()
