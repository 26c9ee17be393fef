"""The program, and running it."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_LOG = logging.getLogger("tapeline")


class TapelineError(Exception):
    """A command failed.

    ``exit_code`` is the program's: 1 failed, 2 invalid arguments or settings, 4 a server was unreachable, 5 messages
    were lost, 70 a fault of tapeline itself; negative: ended by that signal; ``None``: the program did not run.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  hint: {hint}")
        self.message = message
        self.exit_code = exit_code
        self.hint = hint


def program() -> Path:
    """The program: that of ``TAPELINE_BIN``, else the one that this package carries, else the first in ``PATH``."""
    named = os.environ.get("TAPELINE_BIN")
    if named:
        if not Path(named).is_file():
            raise TapelineError(f"TAPELINE_BIN names no file: {named}")
        return Path(named)
    name = "tapeline" + (sysconfig.get_config_var("EXE") or "")
    for scheme in (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user")):
        carried = Path(sysconfig.get_path("scripts", scheme)) / name
        if carried.is_file():
            return carried
    found = shutil.which(name)
    if found is None:
        raise TapelineError(
            "the program tapeline is not installed: it is neither next to this Python nor in PATH",
            hint="install the wheel (cargo xtask python builds it), or set TAPELINE_BIN to the program",
        )
    return Path(found)


def failure(stderr: str, exit_code: int) -> TapelineError:
    """The exception for what a failed command printed."""
    text = stderr.strip()
    at = text.find("error: ")
    text = text[at + len("error: ") :] if at >= 0 else text
    # Usage errors end with advice about --help.
    text = text.split("\n\nUsage:")[0].split("\n\nFor more information")[0]
    message, _, hint = text.partition("\n  hint: ")
    return TapelineError(message or "tapeline ended without a message", exit_code=exit_code, hint=hint or None)


class _Drain(threading.Thread):
    """Reads a pipe to its end, so that the program is never blocked by it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self.text = ""
        self.start()

    def run(self) -> None:
        with self._pipe as pipe:
            self.text = pipe.read().decode("utf-8", "replace")


@contextmanager
def running(command: Sequence[str], cwd: Path | None) -> Iterator[IO[bytes]]:
    """Runs a command; gives its standard output, and raises what it reported if it failed.

    Left early, the command is ended.
    """
    try:
        process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise TapelineError(f"start {command[0]}: {error}") from error
    assert process.stdout is not None and process.stderr is not None
    notes = _Drain(process.stderr)
    reading: Exception | None = None
    try:
        try:
            yield process.stdout
        # A reader of an incomplete stream fails: the program knows the cause.
        except Exception as error:
            reading = error
        process.stdout.close()
        exit_code = process.wait()
    finally:
        # Still running only if the reader stopped early.
        process.kill()
        process.wait()
        process.stdout.close()
        notes.join()
    if exit_code != 0:
        raise failure(notes.text, exit_code) from reading
    if reading is not None:
        raise reading
    for line in notes.text.splitlines():
        _LOG.info(line)


def output(command: Sequence[str], cwd: Path | None, also: Sequence[int] = ()) -> tuple[int, bytes]:
    """Runs a command to its end; exit codes in ``also`` are results as well."""
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError as error:
        raise TapelineError(f"start {command[0]}: {error}") from error
    if done.returncode != 0 and done.returncode not in also:
        raise failure(done.stderr.decode("utf-8", "replace"), done.returncode)
    return done.returncode, done.stdout
