"""The fenced blocks of the documentation, and running them in a shell.

The word behind the language of a block says how it is run:

* ``sh run``: by bash and zsh, in the demo's folder (README.md: in the folder above), until one of its lines fails
* ``sh real``: the same on real Kafka and Cassandra
* ``sh serve``: each line is started, prints an address, and ends without error when it is interrupted
* ``python run``: in the demo's folder, after the commands of the same page; ``sql run`` likewise, by DuckDB
* no word: not run, for the reason in ``test_docs.NOT_RUN``

Of every block, test_commands.py compares what bash, zsh and fish pass to the programs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT

PAGES = [Path("README.md"), Path("python/README.md"), *sorted(path.relative_to(ROOT) for path in (ROOT / "docs").glob("*.md"))]
SHELLS = ["bash", "zsh", "fish"]
#: Those that run the commands for real.
RUNNING = ["bash", "zsh"]


@dataclass(frozen=True)
class Block:
    page: Path
    language: str
    how: str
    text: str

    @property
    def first(self) -> str:
        """Its first line."""
        return self.text.splitlines()[0].strip()


def blocks(page: Path) -> Iterator[Block]:
    text = (ROOT / page).read_text()
    for language, how, body in re.findall(r"^```(sh|bash|console|python|sql)(?: (\w+))?\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield Block(page, language, how, body)


def having(*kinds: tuple[str, str]) -> list[Path]:
    """Pages with a block of one of these languages and ways to run it."""
    return [page for page in PAGES if any((block.language, block.how) in kinds for block in blocks(page))]


def run_in(shell: str, text: str, folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs lines as someone who pastes them would, but without start-up files and only until one fails."""
    if shutil.which(shell) is None:
        pytest.fail(f"{shell} is missing: `cargo xtask test` installs it")
    options = {"bash": ["--norc", "-eux", "-o", "pipefail"], "zsh": ["-f", "-eux", "-o", "pipefail"], "fish": ["--no-config"]}
    if shell == "fish":
        # It has no option to end at the first failure.
        text = re.sub(r"(?<![\\|])\n(?! )", "\nor exit\n", text)
    command = [shell, *options[shell], "-c", text]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
