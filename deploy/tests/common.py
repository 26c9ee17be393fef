"""Helpers shared by the checks."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Failed(Exception):
    """A failed check."""


def expect(holds, what):
    if not holds:
        raise Failed(f"does not hold: {what}")
    print("ok:", what, flush=True)


def tool(name):
    """A program of the Python environment the checks run in."""
    return str(Path(sys.executable).parent / name)


def output(command, **options):
    run = subprocess.run(command, capture_output=True, text=True, **options)
    if run.returncode != 0:
        raise Failed(f"`{' '.join(command)}` exits with {run.returncode}:\n{run.stdout[-3000:]}\n{run.stderr[-3000:]}")
    return run.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Failed(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise Failed(f"{process.args[0]} does not listen on {port} after {seconds} s")


def release():
    """The archive that `cargo xtask dist` made for glibc: what the emulated machines install."""
    found = sorted(Path(os.environ["DEPLOY_DIST"]).glob("tapeline-*-linux-gnu.tar.gz"))
    if not found:
        raise Failed("no release in target/dist; cargo xtask dist")
    return found[-1]


def program(folder):
    """The program of that archive, unpacked."""
    output(["tar", "-xzf", str(release()), "-C", str(folder), "--strip-components=1"])
    return str(Path(folder) / "bin/tapeline")
