"""Commands of the documentation, also those that are not run: every shell passes the same arguments, and the flags exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT
from pages import PAGES, SHELLS, Block, blocks, run_in

import tapeline

#: Reads its input, writes its name and arguments, and succeeds.
STUB = """#!/bin/sh
cat >/dev/null
line=$(printf '%s|' "${0##*/}" "$@")
printf '%s\\n' "$line" >>"$STUB_LOG"
"""
PROGRAMS = ["tapeline", "cargo", "sudo", "git", "pip", "curl", "telegraf"]
COMMANDS = [block for page in PAGES for block in blocks(page) if block.language == "sh"]


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stubs")
    for program in PROGRAMS:
        (folder / program).write_text(STUB)
        (folder / program).chmod(0o755)
    return folder


def passed(shell: str, block: Block, folder: Path, stubs: Path) -> list[str]:
    """What the programs of a block receive."""
    folder.mkdir()
    # What the commands expect to be there.
    for name in ("tapeline", "tapeline-demo", "target/wheels"):
        (folder / name).mkdir(parents=True)
    (folder / "target/wheels/tapeline-1.whl").touch()
    log = folder / "log"
    env = {"PATH": f"{stubs}:{os.environ['PATH']}", "HOME": str(folder), "STUB_LOG": str(log), "TOKEN": "secret", "LC_ALL": "C.UTF-8"}
    done = run_in(shell, block.text, folder, env)
    assert done.returncode == 0, f"{block.page}, {shell}:\n{block.text}\n{done.stdout}{done.stderr}"
    # The programs of a pipeline run at the same time.
    return sorted(log.read_text().splitlines())


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: f"{block.page}:{block.first}"[:60])
def test_shells_pass_the_same_arguments(block: Block, tmp_path: Path, stubs: Path) -> None:
    found = {shell: passed(shell, block, tmp_path / shell, stubs) for shell in SHELLS}
    assert found["bash"] == found["zsh"] == found["fish"]
    # Python's reading of the quotes.
    text = block.text.replace("$TOKEN", "secret").replace("tapeline-*.whl", "tapeline-1.whl").replace("\\\n", " ")
    commands = [shlex.split(command) for command in re.split(r"\n|\|\s", text) if command.strip()]
    # At its prompt zsh knows no remarks: they would be arguments.
    assert not [word for words in commands for word in words if word.startswith("#")]
    assert found["bash"] == sorted("|".join([*words, ""]) for words in commands if words[0] in PROGRAMS)


def spans() -> Iterator[tuple[Path, str]]:
    """Commands in blocks and in the text of every page that describes the present program."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    for page in (Path(name) for name in listed.stdout.splitlines()):
        if page.name == "CHANGELOG.md":
            continue
        text = (ROOT / page).read_text().replace("\\\n", " ")
        for line in re.findall(r"^```sh[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            yield from ((page, command) for command in re.split(r"\n|\| ", line))
        yield from ((page, re.sub(r"\s+", " ", span)) for span in re.findall(r"`((?:tapeline|cargo xtask) [^`]+)`", text))


@cache
def helped(*verbs: str) -> str:
    done = subprocess.run([tapeline.program(), *verbs, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_verbs_and_flags_exist() -> None:
    seen = set()
    tasks = (ROOT / "xtask/src/main.rs").read_text()
    for page, command in spans():
        words = command.split()
        if words[:2] == ["cargo", "xtask"]:
            assert f"\n  {words[2]} " in tasks or f"|{words[2]}" in tasks or f'"{words[2]}"' in tasks, f"{page}: {command}"
        if words[:1] != ["tapeline"]:
            continue
        verbs = []
        for word in words[1:]:
            if re.fullmatch(r"[a-z][a-z-]*", word) is None:
                break
            verbs.append(word)
        text = helped(*verbs[:2])
        for flag in re.findall(r"(?<![\w-])--[a-z-]+", command):
            assert re.search(rf"{flag}(?![\w-])", text), f"{page}: {command}: no {flag}"
            seen.add(flag)
    assert {"--source", "--from", "--tape"} <= seen
