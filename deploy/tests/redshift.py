"""Redshift's SQL: parsed by sqlglot, run on PostgreSQL where the syntax is shared."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import sqlglot
from sqlglot import exp

from common import Failed, ROOT, expect, free_port, output

FOLDER = ROOT / "deploy/aws/redshift"
FILLED = {"schema": "market", "manifest": "s3://archive/trades/manifest.json", "role": "arn:aws:iam::123456789012:role/load"}
COPY = "COPY stage FROM 's3://archive/trades/manifest.json' IAM_ROLE 'arn:aws:iam::123456789012:role/load' FORMAT AS PARQUET MANIFEST"


def filled(path):
    text = path.read_text()
    for name, value in FILLED.items():
        text = text.replace("{%s}" % name, value)
    text = re.sub(r"--.*", "", text)
    expect("{" not in text, f"{path.name}: each placeholder is known")
    return [s.strip() for s in text.split(";") if s.strip()]


def check():
    tables = filled(FOLDER / "tables.sql")
    columns = {}
    for statement in tables:
        tree = sqlglot.parse_one(statement, read="redshift")
        expect(not isinstance(tree, exp.Command), f"sqlglot understands: {statement.split('(')[0].strip()}")
        if not statement.startswith("CREATE TABLE"):
            continue
        name = tree.find(exp.Table).name
        columns[name] = [c.name for c in tree.find_all(exp.ColumnDef)]
        # sqlglot does not look whether the columns of a key exist.
        for key in re.findall(r"(?:DISTKEY|SORTKEY|PRIMARY KEY) \(([^)]*)\)", statement):
            for column in key.split(","):
                expect(column.strip() in columns[name], f"{name}: key column {column.strip()} exists")
    expect(set(columns) == {"trades", "quotes", "bars", "loads"}, f"tables {sorted(columns)}")
    loads = {}
    for kind in ("trades", "quotes", "bars"):
        loads[kind] = filled(FOLDER / f"load-{kind}.sql")
        for statement in loads[kind]:
            tree = sqlglot.parse_one(statement, read="redshift")
            expect(not isinstance(tree, exp.Command), f"{kind}: sqlglot understands {' '.join(statement.split()[:3])}")
        # It does not check COPY's options.
        expect([s for s in loads[kind] if s.startswith("COPY")] == [COPY], f"{kind}: COPY is literal")
        insert = re.search(r"THEN INSERT \(([^)]*)\)", " ".join(loads[kind]))[1]
        expect([c.strip() for c in insert.split(",")] == columns[kind], f"{kind}: INSERT names every column in order")
    postgres(tables, loads, columns)


def postgres(tables, loads, columns):
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    if not found or int(found[-1].parent.name) < 15 or not shutil.which("runuser"):
        raise Failed("PostgreSQL 15 or newer is missing (MERGE)\nhint: apt-get install postgresql")
    bin = found[-1]
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, "postgres")
        port = free_port()
        as_postgres = ["runuser", "-u", "postgres", "--"]
        output([*as_postgres, str(bin / "initdb"), "-D", f"{folder}/data", "--auth=trust"], cwd=folder)
        server = [*as_postgres, str(bin / "pg_ctl"), "-D", f"{folder}/data"]
        output([*server, "-w", "-l", f"{folder}/log", "-o", f"-h 127.0.0.1 -p {port} -k {folder}", "start"], cwd=folder, timeout=120)
        try:
            def sql(text):
                psql = [str(bin / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-At", "-v", "ON_ERROR_STOP=1", "-1"]
                run = subprocess.run(psql, input=text, capture_output=True, text=True)
                if run.returncode != 0:
                    raise Failed(f"PostgreSQL: {run.stderr}")
                return run.stdout.strip()

            plain = ";\n".join(tables)
            plain = re.sub(r" ENCODE \w+| DISTKEY \(\w+\)| COMPOUND SORTKEY \([^)]*\)| DISTSTYLE ALL", "", plain).replace("GETDATE()", "now()")
            sql(plain + ";")
            sql(plain + ";")
            for kind in loads:
                idempotent(sql, kind, loads[kind], columns[kind])
        finally:
            output([*server, "-m", "immediate", "stop"], cwd=folder)


def idempotent(sql, kind, statements, columns):
    numbers = {"ts_ns", "start_ns", "recv_ns", "seq", "trade_count", "late_count", "revision"}
    truths = {"canceled", "is_final", "is_complete"}

    def row(key, revision, value):
        cells = []
        for c in columns:
            if c == "symbol":
                cells.append(f"'S{key}'")
            elif c == "revision":
                cells.append(str(revision))
            elif c in truths:
                cells.append("false")
            elif c in numbers:
                cells.append("1381239000123456789" if c.endswith("_ns") else "7")
            elif c in ("feed", "venue", "id", "bar_interval", "side", "conditions", "tape", "bid_venue", "ask_venue"):
                cells.append("'x'")
            else:
                cells.append(value)
        return "(" + ", ".join(cells) + ")"

    def load(rows):
        text = ";\n".join(f"INSERT INTO stage VALUES {', '.join(rows)}" if s.startswith("COPY") else s for s in statements)
        sql(text + ";")

    def table():
        return sql(f"SELECT * FROM market.{kind} ORDER BY symbol;")

    first = [row(1, 0, "1.000000000000000001"), row(2, 0, "123456789012345678.5"), row(2, 0, "123456789012345678.5"), row(3, 0, "3"), row(3, 2, "33")]
    load(first)
    once = table()
    expect(sql(f"SELECT count(*), sum(revision) FROM market.{kind};") == "3|2", f"{kind}: redeliveries fall together, the newest revision counts")
    load(first)
    expect(table() == once, f"{kind}: the same manifest loaded again changes nothing")
    load([row(3, 1, "31"), row(1, 1, "11"), row(4, 0, "4")])
    expect(sql(f"SELECT symbol, revision FROM market.{kind} ORDER BY symbol;").split() == ["S1|1", "S2|0", "S3|2", "S4|0"],
           f"{kind}: an older revision replaces nothing, a newer one does")
