"""Every command of README.md and docs/ runs as written: in bash and zsh, and in Python."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
from pathlib import Path

import duckdb
import pytest
from conftest import ROOT, cut
from pages import PAGES, RUNNING, Block, blocks, having, run_in

import tapeline

#: Blocks that are not run, by their page and first line, and why.
NOT_RUN = {
    ("README.md", "sudo apt-get install build-essential perl"): "installs and builds",
    ("README.md", "tapeline run --source kraken: --symbols BTC/USD,ETH/USD"): "the internet",
    ("README.md", "cargo xtask test"): "this is what runs the tests",
    ("python/README.md", "cargo xtask python"): "builds a release",
    ("docs/alerts.md", "tapeline alert test mail"): "a mail server: crates/notify/tests/servers.rs",
    ("docs/archive.md", "tapeline archive --archive s3://my-bucket/tapeline"): "a bucket: crates/tapeline/tests/cli/archive.rs",
    ("docs/dashboard.md", "tapeline demo --serve"): "two minutes: cargo xtask test dashboard",
    ("docs/dashboard.md", "tapeline run --serve --source 'alpaca:iex?symbols=SPY,AAPL'"): "an account, real servers",
    ("docs/readings.md", "tapeline demo --iot --serve"): "waits for Ctrl-C: crates/tapeline/tests/cli",
    ("docs/readings.md", "telegraf --config t.conf | tapeline run --source 'lines:-?format=influx&feed=telegraf'"): "telegraf",
    ("docs/readings.md", "tapeline run --source 'mqtt://127.0.0.1/plant/+/state?format=ndjson&series={topic.2}.{field}&value=temperature,pressure'"): "a broker: crates/tapeline/tests/cli/mqtt.rs",
    ("docs/readings.md", "tapeline run --source 'mqtt://127.0.0.1/spBv1.0/plant/#?format=sparkplug&feed=plant'"): "a broker: crates/tapeline/tests/cli/mqtt.rs",
    ("docs/readings.md", 'curl -H "Authorization: Bearer $TOKEN" --data-binary @a.ndjson \\'): "a server: crates/server/tests/api/push.rs",
    ("docs/sources.md", "export APCA_API_KEY_ID=... APCA_API_SECRET_KEY=..."): "an account",
    ("docs/sources.md", "tapeline run --source 'poll:yahoo?symbols=SPY,AAPL&interval=1m'"): "the internet",
}
DEMO = "tapeline demo\n"


@pytest.fixture(scope="module")
def above(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the repository's root after `tapeline demo`."""
    above = tmp_path_factory.mktemp("root")
    (above / "bin").mkdir()
    (above / "bin/tapeline").symlink_to(tapeline.program().resolve())
    (above / "data").symlink_to(ROOT / "data")
    done = subprocess.run(["sh", "-c", DEMO], cwd=above, env=environment(above), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (above / "tapeline-demo/data").symlink_to(ROOT / "data")
    return above


def environment(above: Path) -> dict[str, str]:
    # The address of servers: a free port, for another server may run on this machine.
    return os.environ | {"PATH": f"{above / 'bin'}:{os.environ['PATH']}", "TAPELINE__SERVE__LISTEN": "127.0.0.1:0"}


def place(above: Path, page: Path) -> Path:
    return above if page == Path("README.md") else above / "tapeline-demo"


def test_every_block_is_run_or_has_a_reason() -> None:
    left_out = set()
    for page in PAGES:
        for block in blocks(page):
            known = {("sh", "run"), ("sh", "real"), ("sh", "serve"), ("python", "run"), ("python", ""), ("sql", "run")}
            if (block.language, block.how) not in known:
                key = (str(page), block.first)
                assert key in NOT_RUN, f"{page}: neither run nor listed in NOT_RUN: {block.first}"
                left_out.add(key)
    assert left_out == set(NOT_RUN), "blocks that are no longer there"


@pytest.mark.parametrize("shell", RUNNING)
@pytest.mark.parametrize("page", having(("sh", "run"), ("python", "run")), ids=str)
def test_commands_run_as_written(above: Path, page: Path, shell: str) -> None:
    folder = place(above, page)
    for block in blocks(page):
        if block.how != "run":
            continue
        if block.language != "sh":
            if shell == "bash":
                (run_python if block.language == "python" else run_sql)(block, folder)
            continue
        if block.text == DEMO:
            # The fixture has run it as written.
            continue
        done = run_in(shell, block.text, folder, environment(above))
        assert done.returncode == 0, f"{page}, {shell}:\n{block.text}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("shell", RUNNING)
@pytest.mark.parametrize("page", having(("sh", "real")), ids=str)
def test_commands_run_on_real_servers(above: Path, tmp_path: Path, page: Path, shell: str) -> None:
    """As written, but for the addresses, the names of topics and keyspace, and a shorter tape."""
    for symbol in ("spy", "aig"):
        cut(ROOT / f"data/us-equities/tick/{symbol}/20131008_trade.zip", tmp_path / f"data/us-equities/tick/{symbol}")
    servers = [os.environ.get(f"TAPELINE_TEST_{name}", "") for name in ("KAFKA", "CASSANDRA")]
    assert all(servers), "TAPELINE_TEST_KAFKA, TAPELINE_TEST_CASSANDRA: run `cargo xtask test`"
    name = f"docs_{os.getpid()}"
    env = environment(above) | {"TAPELINE__TOPIC__PREFIX": name, "TAPELINE__TOPIC__GROUP": name}
    for block in blocks(page):
        if block.how == "real":
            text = block.text.replace("cargo xtask stack up\n", "")
            for usual, other in (("127.0.0.1:9092", servers[0]), ("127.0.0.1:9042/tapeline", f"{servers[1]}/{name}")):
                assert usual in text
                text = text.replace(usual, other)
            done = run_in(shell, text, tmp_path, env)
            assert done.returncode == 0, f"{page}, {shell}:\n{text}\n{done.stdout}{done.stderr}"
            assert '"SPY":3000' in done.stdout, done.stdout


def run_sql(block: Block, folder: Path) -> None:
    with duckdb.connect() as database:
        # Relative paths are looked up here.
        database.execute("SET file_search_path = ?", [str(folder)])
        assert database.execute(block.text).fetchall(), f"{block.page}: no rows: {block.text}"


def run_python(block: Block, folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(block.text, str(block.page), "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(before)


@pytest.mark.parametrize("page", having(("sh", "serve")), ids=str)
def test_servers_start_as_written(above: Path, page: Path) -> None:
    folder = above / "tapeline-demo"
    lines = [line for block in blocks(page) if (block.language, block.how) == ("sh", "serve") for line in block.text.splitlines()]
    assert lines
    for line in lines:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=folder, env=environment(above), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        seen = []
        for text in process.stdout:
            seen.append(text)
            if re.search(r"(http|ws)s?://127\.0\.0\.1:\d+", text):
                break
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
        assert process.returncode == 0, f"{page}: {line}\n{''.join(seen)}{rest}"
        assert seen and "://127.0.0.1:" in seen[-1], f"{page}: {line} printed no address:\n{''.join(seen)}{rest}"


def test_the_example_runs(above: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(above / "tapeline-demo")
    runpy.run_path(str(ROOT / "python/examples/first_look.py"), run_name="__main__")
    assert "shares" in capsys.readouterr().out
