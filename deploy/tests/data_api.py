"""The Redshift Data API in front of PostgreSQL: statements are submitted, picked, started, and end; a batch is one transaction.

COPY is what Redshift does by itself: it reads the manifest and its Parquet files from S3 (moto), checks that the sizes are those
of the manifest and that the types are those of the table, column by column, and fills the table. Signatures are checked by
botocore.
"""

import contextlib
import http.server
import io
import json
import re
import tempfile
import threading
import urllib.parse

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY, SECRET = "AKIDEXAMPLE", "secret-of-the-test"
# What Redshift takes for a type of its own, and no other.
TYPES = {"bigint": pa.int64(), "integer": pa.int32(), "boolean": pa.bool_(), "numeric(38,18)": pa.decimal128(38, 18)}
STATES = ["SUBMITTED", "PICKED", "STARTED"]


class Refused(Exception):
    """A statement that fails."""


class Warehouse:
    def __init__(self, sql, columns, s3):
        """`sql` runs a script in one transaction, `columns` lists names and types of a table's columns, `s3` is a client."""
        self.sql, self.columns, self.s3 = sql, columns, s3
        self.statements, self.tokens, self.lock = {}, {}, threading.Lock()
        self.slow = threading.Event()
        self.slow.set()
        self.copied = []

    def submit(self, token, statements):
        with self.lock:
            if token in self.tokens:
                return self.tokens[token]
            name = f"statement-{len(self.tokens)}"
            self.tokens[token] = name
            self.statements[name] = {"looks": 0, "sql": statements, "end": None, "rows": [], "error": None}
        threading.Thread(target=self.run, args=(name,), daemon=True).start()
        return name

    def run(self, name):
        statement = self.statements[name]
        self.slow.wait()
        try:
            with tempfile.TemporaryDirectory() as folder:
                text = ";\n".join(self.copy(s, statement["sql"], folder) if s.startswith("COPY ") else plain(s) for s in statement["sql"])
                rows = self.sql(text + ";\n")
            statement["rows"], statement["end"] = rows, "FINISHED"
        except Exception as error:
            statement["error"], statement["end"] = str(error), "FAILED"

    def copy(self, statement, batch, folder):
        found = re.fullmatch(r"COPY (\w+) FROM '(s3://[^']+)' IAM_ROLE '(arn:aws:iam::\d+:role/\w+)' FORMAT AS PARQUET MANIFEST", statement)
        if not found:
            raise Refused(f"unexpected COPY: {statement}")
        like = next(s for s in batch if s.startswith(f"CREATE TEMP TABLE {found[1]} "))
        wanted = self.columns(re.search(r"LIKE (\S+)\)", like)[1])
        manifest = json.loads(self.object(found[2]))
        with open(f"{folder}/rows", "w") as out:
            for entry in manifest["entries"]:
                if entry["mandatory"] is not True:
                    raise Refused("each file is mandatory")
                content = self.object(entry["url"])
                if entry["meta"]["content_length"] != len(content):
                    raise Refused(f"{entry['url']}: content_length is not its size")
                table = pq.read_table(io.BytesIO(content))
                # By position; the names are not looked at.
                types = [TYPES.get(of, pa.string()) for _, of in wanted]
                if [field.type for field in table.schema] != types:
                    raise Refused(f"{entry['url']}: expected the columns {wanted}, found {table.schema}")
                for row in zip(*(column.to_pylist() for column in table.columns)):
                    out.write("\t".join(cell(value) for value in row) + "\n")
                self.copied.append(entry["url"])
        return f"\n\\copy {found[1]} FROM '{folder}/rows'\nSELECT 1 WHERE false"

    def object(self, url):
        at = urllib.parse.urlparse(url)
        return self.s3.get_object(Bucket=at.netloc, Key=at.path[1:])["Body"].read()

    def describe(self, name):
        statement = self.statements[name]
        statement["looks"] += 1
        if statement["end"] is None or statement["looks"] < len(STATES):
            return {"Id": name, "Status": STATES[min(statement["looks"], len(STATES)) - 1]}
        reply = {"Id": name, "Status": statement["end"]}
        return reply | ({"Error": statement["error"]} if statement["error"] else {})


def plain(statement):
    """Without what PostgreSQL does not have."""
    return re.sub(r" ENCODE \w+| DISTKEY \(\w+\)| COMPOUND SORTKEY \([^)]*\)| DISTSTYLE ALL", "", statement).replace("GETDATE()", "now()")


def cell(value):
    if value is None:
        return r"\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    text = format(value, "f") if not isinstance(value, (int, str)) else str(value)
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def field(text):
    return {"longValue": int(text)} if re.fullmatch(r"-?\d+", text) else {"stringValue": text}


def serve(warehouse):
    """Starts the server; returns it. Its port is `server_port`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def reply(self, status, body):
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            # The program may have been killed meanwhile.
            with contextlib.suppress(ConnectionError):
                self.end_headers()
                self.wfile.write(text)

        def signed(self, body):
            date = self.headers["X-Amz-Date"]
            names = re.search(r"SignedHeaders=([^,]+),", self.headers["Authorization"])[1].split(";")
            request = AWSRequest("POST", f"http://{self.headers['Host']}/", headers={n: self.headers[n] for n in names if n != "host"}, data=body)
            request.context["timestamp"] = date
            auth = SigV4Auth(Credentials(KEY, SECRET), "redshift-data", "us-east-1")
            canonical = auth.canonical_request(request)
            wanted = auth.signature(auth.string_to_sign(request, canonical), request)
            return "x-amz-target" in names and self.headers["Authorization"].endswith(f"Signature={wanted}")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.signed(body):
                return self.reply(400, {"__type": "InvalidSignatureException", "message": "the signature does not match"})
            action, request = self.headers["X-Amz-Target"].removeprefix("RedshiftData."), json.loads(body)
            if action in ("ExecuteStatement", "BatchExecuteStatement"):
                assert request["Database"] == "dev" and request["WorkgroupName"] == "group", request
                statements = request.get("Sqls") or [request["Sql"]]
                assert len(statements) <= 40 and all(len(s) <= 100_000 for s in statements)
                return self.reply(200, {"Id": warehouse.submit(request["ClientToken"], statements)})
            if action == "DescribeStatement":
                return self.reply(200, warehouse.describe(request["Id"]))
            if action == "GetStatementResult":
                rows = warehouse.statements[request["Id"]]["rows"]
                return self.reply(200, {"Records": [[field(text) for text in row] for row in rows]})
            return self.reply(400, {"__type": "ValidationException", "message": action})

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
