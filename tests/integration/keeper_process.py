"""One keeper in its own process: started, watched through what it writes, stopped and killed.

It knows the command line, the log, the journal and the health endpoint, as an operator does, and
nothing of what the keeper does inside. The process is forked from the test's own, which has the
program loaded already: a start costs milliseconds instead of seconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self, TypeVar

from keeper.cli import main
from tests.unit.chain.scripted_node import PATIENCE_S


T = TypeVar("T")

LOOK_EVERY_S = 0.01
TOLD = ("CommandSent", "CommandRefused")  # how a command's first leg ends


def wait_for(what: str, probe: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Return the probe's first true answer; AssertionError, saying what, when none comes."""
    deadline = time.monotonic() + patience_s
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {patience_s} s"
        time.sleep(LOOK_EVERY_S)


def write_toml(path: Path, document: Mapping[str, Any]) -> Path:
    """Write a document of plain values, tables and lists of tables; return the path."""
    path.write_text("\n".join(_lines((), document)) + "\n")
    return path


def _lines(at: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    later = []
    for key, value in table.items():
        if isinstance(value, Mapping) or (value and _of_tables(value)):
            later.append((key, value))
        else:
            yield f"{key} = {json.dumps(value)}"
    for key, value in later:
        name = ".".join((*at, key))
        for each in value if _of_tables(value) else [value]:
            yield f"[[{name}]]" if _of_tables(value) else f"[{name}]"
            yield from _lines((*at, key), each)


def _of_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, Mapping) for each in value)


class KeeperProcess:
    """`keeper run -c config` as a child; each start has a log and journals of its own."""

    def __init__(self, config: Path, data_dir: Path, port: int) -> None:
        self.config = config
        self.data_dir = data_dir
        self.starts = 0
        self._port = port
        self._process: BaseProcess | None = None
        self._journals_before: frozenset[Path] = frozenset()

    def start(self) -> Self:
        """Start anew, on what an earlier run left."""
        assert not self.running
        self.starts += 1
        self._journals_before = frozenset(self.all_journals())
        fork = multiprocessing.get_context("fork")
        words = (["run", "-c", str(self.config)], str(self.log), os.getpid())
        self._process = fork.Process(target=_keeper, args=words, daemon=True)
        self._process.start()
        return self

    def stop(self) -> int:
        """Ask it to end and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.running:
            self._end(signal.SIGKILL)

    def exited(self) -> int:
        """Wait for it to end by itself and return its exit code."""
        assert self._process is not None
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None, f"still runs: {self.tail()}"
        return self._process.exitcode

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.is_alive()

    @property
    def pid(self) -> int:
        """Its process id, of this start."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where this start's lines are."""
        return self.config.with_suffix(f".{self.starts}.jsonl")

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return this start's log lines so far, all or those of one event."""
        whole = _whole_lines(self.log) if self.log.exists() else []
        found = [json.loads(line) for line in whole if line.startswith("{")]
        return [line for line in found if event in (None, line["event"])]

    def tail(self) -> str:
        """Return the log's last words, for a failure's message."""
        return self.log.read_text()[-3_000:] if self.log.exists() else "no log"

    def all_journals(self) -> list[Path]:
        """Return the first file of every run's journal, oldest first."""
        return sorted((self.data_dir / "journal").glob("*.0001.jsonl"), key=_begun)

    def journals(self) -> list[Path]:
        """Return those of this start, oldest first; more than one where it began again."""
        return [path for path in self.all_journals() if path not in self._journals_before]

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        """Return this start's recorded events of these kinds, in order: kind and fields."""
        return recorded(self.journals(), kinds)

    def block(self, block_hash: str) -> dict[str, Any]:
        """Wait until this block was decided on, and every command so far sent or refused.

        The line of the block, or of the snapshot where the keeper began from that very block.
        """
        line = self.wait(f"block {block_hash[:10]} decided", lambda: self._line_of(block_hash))
        self.wait("the commands' first leg", self.all_told)
        return line

    def wait(self, what: str, probe: Callable[[], T]) -> T:
        """Wait for something of a living keeper; its last words stand in the failure."""

        def look() -> T:
            found = probe()
            assert found or self.running, f"the keeper ended: {self.tail()}"
            return found

        try:
            return wait_for(what, look)
        except AssertionError as failed:
            raise AssertionError(f"{failed}\n{self.tail()}") from failed

    def readiness(self) -> list[str]:
        """Return why it is not ready; empty when it is."""
        url = f"http://127.0.0.1:{self._port}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
                return list(json.load(answer)["reasons"])
        except urllib.error.HTTPError as red:
            with red:
                return list(json.load(red)["reasons"])
        except OSError as nobody:
            return [f"nobody answers: {nobody}"]

    def metrics(self) -> str:
        """Return what a scrape gets."""
        url = f"http://127.0.0.1:{self._port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode())

    def ready(self) -> None:
        """Wait until it is ready."""
        self.wait("readiness", lambda: not self.readiness())

    def _line_of(self, block_hash: str) -> dict[str, Any]:
        about = (*self.lines("block"), *self.lines("snapshot_taken"))
        return next((line for line in about if line["hash"] == block_hash), {})

    def all_told(self) -> bool:
        """Whether every command that it wrote of is sent or refused.

        Of the run begun last: what was decided before that is not repeated.
        """
        decided = set[int]()
        for line in self.lines():
            if line["event"] in ("snapshot_taken", "state_loaded"):
                decided.clear()
            elif line["event"] == "command_decided":
                decided.add(line["command_id"])
        return decided <= {each["command_id"] for each in recorded(self.journals()[-1:], TOLD)}

    def _end(self, how: signal.Signals) -> int:
        process = self._process
        assert process is not None
        assert process.pid is not None
        if process.is_alive():
            os.kill(process.pid, how)
        return self.exited()


def recorded(journals: Sequence[Path], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return journals' events of these kinds, in order: kind and fields."""
    found = []
    for path in (file for journal in journals for file in _files(journal)):
        for line in _whole_lines(path):
            entry = json.loads(line).get("entry")
            if entry is not None and entry["event"] in kinds:
                found.append({"kind": entry["event"], **entry["with"]})
    return found


def _files(journal: Path) -> list[Path]:
    """Return all files of the run whose first file this is, in order."""
    run = journal.name.removesuffix(".0001.jsonl")
    return sorted(journal.parent.glob(f"{run}.*.jsonl"))


def _whole_lines(path: Path) -> list[str]:
    """Return the lines that are written to their end: the last may still be on its way."""
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()


def _begun(path: Path) -> tuple[int, str]:
    """Return when a journal was begun: names are `<block>-<unix ns>.<number>.jsonl`."""
    return (int(path.name.split(".")[0].rsplit("-", 1)[1]), path.name)


def _keeper(arguments: Sequence[str], log: str, parent: int) -> None:
    """Be a keeper: its own session and output, none of the test runner's settings."""
    os.setsid()
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(to, 1)
    os.dup2(to, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1), os.fdopen(2, "w", 1)
    warnings.resetwarnings()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    code = main(arguments)
    # Whoever forked us flushes these last, and a disk that is full must not change the code.
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - it lasts as long as we
    sys.exit(code)


def _end_with(parent: int) -> None:
    """End when the test runner is gone, whatever became of it."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
