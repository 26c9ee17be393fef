"""The package is typed: mypy finds nothing in it, nor in the examples that use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_mypy_is_content(tmp_path: Path) -> None:
    folder = Path(__file__).parents[1]
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "src/tapeline/py.typed").exists()
