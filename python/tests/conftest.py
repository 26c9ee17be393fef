"""A small recorded market: the first trades of AIG and quotes of IBM of 2013-10-08, and readings of a boiler."""

from __future__ import annotations

import os
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import tapeline

ROOT = Path(__file__).parents[2]
#: Rows of each tape: more than a record batch would be slow, fewer have no bars.
ROWS = 3_000
#: Rows as `query` names them: a symbol or series that has some, their time, and a value.
KINDS = {
    "trades": ("AIG", "ts", "price"),
    "quotes": ("IBM", "ts", "bid"),
    "readings": ("boiler-7.temperature", "ts", "value"),
    "bars": ("AIG", "start", "close"),
    "quote-bars": ("IBM", "start", "bid_close"),
    "reading-bars": ("boiler-7.temperature", "start", "mean"),
}
#: One of each format.
ENDINGS = ["csv", "ndjson", "json", "parquet", "arrow", "arrows"]
READINGS = """\
{"device":"boiler-7","metric":"temperature","value":21.50,"time":"2026-01-05T00:00:00.000000001Z","unit":"°C"}
{"device":"boiler-7","metric":"temperature","value":22,"time":"2026-01-05T00:00:01Z","unit":"°C"}
"""


@pytest.fixture(scope="session", autouse=True)
def isolated() -> None:
    """Settings of the test machine do not apply."""
    for name in [name for name in os.environ if name.startswith("TAPELINE_") and "_TEST_" not in name]:
        if name != "TAPELINE_BIN":
            del os.environ[name]


def run(folder: Path, *words: str) -> str:
    done = subprocess.run([tapeline.program(), *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Serving:
    """`tapeline serve` on a folder."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:0") -> None:
        command = [tapeline.program(), "serve", "--listen", listen]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = next(line for line in self.process.stdout if "http://" in line)
        self.url = line[line.index("http://") :].strip().rstrip("/")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate()


def cut(archive: Path, folder: Path, rows: int = ROWS) -> None:
    """Copies the first rows of a tape file."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(folder / archive.name, "w") as part:
        for name in whole.namelist():
            part.writestr(name, b"".join(whole.read(name).splitlines(keepends=True)[:rows]))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a filled topic and store, and a tapeline.toml that names them."""
    folder = tmp_path_factory.mktemp("market")
    (folder / "tapeline.toml").write_text('topic.url = "sqlite:topic.db"\nstore.url = "sqlite:market.db"\n')
    cut(ROOT / "data/us-equities/tick/aig/20131008_trade.zip", folder / "tape/tick/aig")
    cut(ROOT / "data/quotes/tick/ibm/20131008_quote.zip", folder / "tape/tick/ibm")
    (folder / "readings.ndjson").write_text(READINGS)
    run(folder, "run", "--source", "tape:tape?kinds=trades,quotes")
    source = "lines:readings.ndjson?format=ndjson&feed=plant&series={device}.{metric}&value=value&unit={unit}"
    run(folder, "run", "--source", source)
    return folder


@pytest.fixture(scope="session")
def exports(folder: Path) -> Path:
    """Every kind of row in every format."""
    out = folder / "exports"
    out.mkdir()
    for what, (symbol, _, _) in KINDS.items():
        for ending in ENDINGS:
            interval = ["--interval", "1s"] if what == "reading-bars" else []
            run(folder, "query", what, symbol, "--out", f"exports/{what}.{ending}", *interval)
    return out


@pytest.fixture(scope="session")
def market(folder: Path) -> tapeline.Client:
    return tapeline.Client(folder=folder)


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Inside the folder."""
    monkeypatch.chdir(folder)
    yield folder
