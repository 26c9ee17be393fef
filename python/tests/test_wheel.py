"""What `cargo xtask python` packs, without building a release: the wheel's metadata, and the program next to Python."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pyarrow
from conftest import ROOT

import tapeline


def test_the_metadata_is_that_of_the_program_and_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "maturin", "pep517", "write-dist-info", "--metadata-directory", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT / "python", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Found bin bindings" in done.stderr
    [folder] = tmp_path.iterdir()
    metadata = email.message_from_string((folder / "METADATA").read_text())
    version = subprocess.run([tapeline.program(), "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
    assert (metadata["Name"], metadata["Version"]) == ("tapeline", version)
    assert "pyarrow" in metadata["Requires-Dist"] and metadata.get_all("Provides-Extra") == ["pandas", "polars"]
    assert "tapeline.bars" in str(metadata.get_payload())


def test_an_installed_package_runs_its_own_program(folder: Path, tmp_path: Path) -> None:
    """An environment as pip leaves it: the package importable, the program in its scripts; another one is first in PATH."""
    builder = venv.EnvBuilder(symlinks=True)
    builder.create(tmp_path / "env")
    scripts = tmp_path / "env/bin"
    (scripts / "tapeline").symlink_to(tapeline.program().resolve())
    [packages] = (tmp_path / "env").glob("lib/python*/site-packages")
    (packages / "tapeline").symlink_to(ROOT / "python/src/tapeline")
    # pyarrow, which pip would install.
    (packages / "pyarrow.pth").write_text(str(Path(pyarrow.__file__).parents[1]))
    other = tmp_path / "other"
    other.mkdir()
    (other / "tapeline").write_text("#!/bin/sh\nexit 9\n")
    (other / "tapeline").chmod(0o755)
    script = (
        "import json, tapeline; bars = tapeline.bars('AIG', '5m', tz='America/New_York'); "
        "print(json.dumps([str(tapeline.program()), bars.num_rows, str(bars.schema.field('start').type)]))"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("TAPELINE_BIN", "PYTHONPATH")}
    env["PATH"] = f"{other}:{env['PATH']}"
    done = subprocess.run([scripts / "python", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    program, rows, zone = json.loads(done.stdout)
    assert Path(program) == scripts / "tapeline"
    assert rows > 0 and zone == "timestamp[ns, tz=America/New_York]"
