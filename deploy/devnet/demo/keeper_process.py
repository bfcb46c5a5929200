"""The keeper as a child process: started by its command line, watched by its ports, stopped.

It knows the command line, /readyz, /metrics and the log lines, as any operator does; it must not
import the keeper. Whatever becomes of this process, the child does not outlive it.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from deploy.devnet.chain.node import HOST


ROOT = Path(__file__).resolve().parents[3]
STOP_TIMEOUT_S = 20.0
REPLAY_TIMEOUT_S = 300.0
ACTIVATE_TIMEOUT_S = 120.0
DRY_RUN_BLOCKS = 2
ASK_TIMEOUT_S = 3.0
LOOK_EVERY_S = 0.02
LAST_WORDS = 3_000
TOLD = ("command_sent", "command_refused")  # how a command's first leg ends
ENDED = ("transaction_included", "transaction_reverted", "transaction_dropped")
RENEWS = ("look_anew", "new_snapshot_needed")

# (metric, its labels in order of name) → value
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class KeeperFailed(Exception):
    """The keeper ended, or did not get ready; the message carries its last words."""


class KeeperProcess:
    """`keeper run` with a configuration; a context manager that never leaves it behind."""

    def __init__(self, config: Path, log: Path, port: int) -> None:
        self.config = config
        self.log = log
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_command(), "run", "-c", str(self.config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # A Ctrl-C at the terminal is ours to handle: the keeper ends when we say so.
                start_new_session=True,
            )
        self._guard = _guard_of(self._process.pid)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._unguard()

    def wait_ready(self, timeout_s: float, beat: Callable[[str], None]) -> None:
        """Wait for a green /readyz; `beat` is told the reason it is red, and makes time pass.

        Raises KeeperFailed.
        """
        deadline = time.monotonic() + timeout_s
        reason = "not started"
        while time.monotonic() < deadline:
            self.expect_alive()
            ready, reason = self._readiness()
            if ready:
                return
            beat(reason)
        raise KeeperFailed(f"not ready after {timeout_s:.0f} s ({reason}):\n{self.last_words()}")

    def expect_alive(self) -> None:
        """Raise KeeperFailed when the process has ended."""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            raise KeeperFailed(f"the keeper ended with code {code}:\n{self.last_words()}")

    def metrics(self) -> Samples:
        """Return what /metrics says, empty when it does not answer in time."""
        try:
            status, body = self._get("/metrics")
        except OSError:
            return {}
        if status != 200:
            return {}
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
        }

    def wait_settled(self, number: int, timeout_s: float) -> None:
        """Wait until the keeper is done with a block; raises KeeperFailed.

        All that was decided on it is sent or refused, and what was sent before has its outcome.
        """
        deadline = time.monotonic() + timeout_s
        while not self._settled(number):
            self.expect_alive()
            if time.monotonic() > deadline:
                raise KeeperFailed(f"block {number} is not settled:\n{self.last_words()}")
            time.sleep(LOOK_EVERY_S)

    def _settled(self, number: int) -> bool:
        decided = renewing = False
        asked, told = 0, set[int]()
        sent, due = set[int](), set[int]()  # without an outcome; those that this block must have
        for line in self.lines():
            word, command = line["event"], int(line.get("command_id", 0))
            if word == "block":
                asked += line["commands"]
                if line["number"] >= number:
                    decided, due = True, set(sent)
            elif word in TOLD:
                told.add(command)
                sent |= {command} if word == "command_sent" else set()
            elif word in ENDED:
                sent.discard(command)
                due.discard(command)
            elif word in RENEWS:
                renewing = True
            elif word == "snapshot_taken":  # what was decided before is not repeated
                renewing, asked, told = False, 0, set()
                decided |= line["number"] >= number
        return decided and not renewing and not due and len(told) >= asked

    def stop(self) -> int:
        """Send SIGTERM and return the exit code. Raises KeeperFailed when it does not end."""
        assert self._process is not None, "a keeper that was never started"
        self._process.terminate()
        try:
            code = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            words = f"did not end within {STOP_TIMEOUT_S:.0f} s of SIGTERM"
            raise KeeperFailed(f"{words}:\n{self.last_words()}") from None
        self._unguard()
        return code

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield every log line so far that is JSON; the last may still be on its way."""
        for text in self.log.read_text(errors="replace").splitlines(keepends=True):
            if text.startswith("{") and text.endswith("\n"):
                yield json.loads(text)

    def last_words(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-LAST_WORDS:]

    def _readiness(self) -> tuple[bool, str]:
        try:
            status, body = self._get("/readyz")
            reasons = json.loads(body)["reasons"]
        except (OSError, ValueError):
            return False, "nobody listens yet"
        return status == 200, "; ".join(reasons)

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ASK_TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except http.client.HTTPException as failure:
            raise ConnectionError(str(failure)) from failure
        finally:
            connection.close()

    def _unguard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None


def activate(config: Path, log: Path, beat: Callable[[str], None]) -> list[str]:
    """Run `keeper activate` to its end; its lines. `beat` makes time pass for the dry run.

    Raises KeeperFailed where it gives no leave to go live.
    """
    words = ["activate", "-c", str(config), "--yes", "--blocks", str(DRY_RUN_BLOCKS)]
    deadline = time.monotonic() + ACTIVATE_TIMEOUT_S
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*_command(), *words],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
        ) as process,
        _guard_of(process.pid) as guard,
    ):
        try:
            while process.poll() is None and time.monotonic() < deadline:
                beat("the dry run before going live")
        finally:
            guard.kill()
            if process.poll() is None:
                process.kill()
    told = log.read_text(errors="replace")
    if process.returncode != 0:
        words_left = told[-LAST_WORDS:]
        raise KeeperFailed(f"activation ended with code {process.returncode}:\n{words_left}")
    return told.splitlines()


def replay(config: Path, journal: Path, accounts: Path) -> str:
    """Run `keeper replay` with the accounts written out; its line. Raises KeeperFailed."""
    words = ["replay", str(journal), "-c", str(config), "--accounts", str(accounts)]
    done = subprocess.run(
        [*_command(), *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=REPLAY_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise KeeperFailed(f"replay ended with code {done.returncode}: {done.stderr[-LAST_WORDS:]}")
    return done.stdout.strip()


def _guard_of(pid: int) -> subprocess.Popen[bytes]:
    """Return what ends a child once we are gone: it is blocked on a pipe that only we hold."""
    return subprocess.Popen(
        ["sh", "-c", f"cat > /dev/null; kill -9 {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _command() -> list[str]:
    """Return the installed command, or the package itself where it was not installed."""
    installed = Path(sys.executable).with_name("keeper")
    return [str(installed)] if installed.is_file() else [sys.executable, "-m", "keeper"]
