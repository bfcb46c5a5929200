"""One canonical line a block, notices as lines: JSON on stderr, colours on a terminal.

Must not know how anything is computed. Lines are handed to a thread, because a pipe that nobody
reads would otherwise stop the keeper; what the thread cannot keep up with is counted and told.
"""

import contextlib
import math
import queue
import sys
import threading
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog

from keeper.domain.effects import Assessment, Effects, Notice
from keeper.domain.events import BlockSealed, Entry
from keeper.domain.units import NS_PER_S
from keeper.ports import Clock, Timing
from keeper.telemetry.ageing import QuoteAges
from keeper.telemetry.commands import CommandTrail
from keeper.telemetry.outcomes import Meanings
from keeper.telemetry.text import MASK, clean


LINES_WAITING_MAX: Final = 10_000
CLOSE_MS_MAX: Final = 2_000
DEPTH_MAX: Final = 4
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_OURS: Final = ("event", "level", "timestamp")
_SECRET_WORDS: Final = ("password", "passphrase", "secret", "private", "mnemonic", "token", "auth")
_COUNTS: Final = tuple(
    each.name for each in fields(Assessment) if not each.name.startswith("quote")
)


class Lines:
    """Writes log lines; an `Observer` of the engine, and `tell` for notices of the shell."""

    def __init__(
        self,
        clock: Clock,
        level: str = "info",
        stream: TextIO | None = None,
        meanings: Meanings | None = None,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._threshold = LEVELS[level]
        self._trail = CommandTrail(meanings=meanings)
        self._ages = QuoteAges()
        self._writer = LineWriter(stream)
        self._processors = _processors(colours=stream.isatty())

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Write a line for every command, outcome, notice and assessment of an entry.

        The block's own line is the last: who has read it has read all that was said of the block.
        """
        for word, values in self._trail.observe(entry, effects, timing):
            self._line("info", word, values)
        for notice in (*effects.notices, *self._ages.look(effects.assessments)):
            self.tell(notice, seq=entry.seq)
        for assessment in effects.assessments:
            self._line("info", "block", _block(assessment, entry, effects, timing))

    def tell(self, notice: Notice, **context: int) -> None:
        """Write a notice as a line: its kind is the event, its fields are the fields."""
        self._line(notice.severity, notice.kind, {**dict(notice.fields), **context})

    def shed(self) -> None:
        """Let go of the commands that are followed for the lines about them."""
        self._trail.shed()

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        self._writer.close()

    def _line(self, severity: str, event: str, values: dict[str, Any]) -> None:
        # A severity we do not know is not a reason to lose the line.
        level = severity if severity in LEVELS else "error"
        if LEVELS[level] < self._threshold:
            return
        # Fields of a notice are free, so the line is a table of ours and not keyword arguments:
        # a field called "event" or "level" must neither break nor forge it.
        line: Any = {f"{k}_" if k in _OURS else k: v for k, v in values.items()}
        stamp = datetime.fromtimestamp(self._clock.now_ns() / NS_PER_S, UTC)
        line = {"timestamp": stamp.isoformat(), "level": level, "event": event, **line}
        for process in self._processors:
            line = process(None, level, line)
        self._writer.msg(line)


class LineWriter:
    """A thread that writes lines to a stream; never blocks its caller."""

    def __init__(self, stream: TextIO, waiting_max: int = LINES_WAITING_MAX) -> None:
        self._stream = stream
        self._waiting: queue.Queue[str | None] = queue.Queue(waiting_max)
        self._left_out = 0
        self._thread = threading.Thread(target=self._work, name="log-lines", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """Hand over a line; when the thread is behind by the limit it is left out and counted."""
        try:
            self._waiting.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Write what waits and end the thread, or give up after two seconds."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=CLOSE_MS_MAX / 1_000)
        self._thread.join(CLOSE_MS_MAX / 1_000)

    def _work(self) -> None:
        while (line := self._waiting.get()) is not None:
            left_out, self._left_out = self._left_out, 0
            lines = [line]
            if left_out:
                lines.append(f'{{"event":"log_lines_left_out","level":"error","count":{left_out}}}')
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except OSError:
                # A disk that is full, or a reader that has gone, may come back; until then there
                # is no one to tell, and the keeper goes on.
                self._left_out += 1 + left_out
            except ValueError:
                return  # the stream was closed: the process is ending


def _block(
    assessment: Assessment, entry: Entry, effects: Effects, timing: Timing
) -> dict[str, Any]:
    """Return the canonical line: what was decided on a block, and how long each stage took."""
    values: dict[str, Any] = {name: getattr(assessment, name) for name in _COUNTS}
    values["seq"] = entry.seq
    if isinstance(entry.event, BlockSealed):
        values["hash"] = entry.event.hash
        values["logs"] = len(entry.event.logs)
        elapsed_ns = timing.decided_ns - entry.event.received_ns
        values["received_to_decided_ms"] = _ms(elapsed_ns)
        values["head_lag_ms"] = entry.at_ns // 1_000_000 - entry.event.timestamp * 1_000
    values["commands"] = sum(1 for each in effects.commands if each.venue == assessment.venue)
    not_ok = [f"{name}={state}" for name, state in assessment.quotes if state != "OK"]
    values["quotes_not_ok"] = not_ok
    values["waited_ms"] = _ms(timing.started_ns - timing.posted_ns)
    values["fold_ms"] = _ms(timing.folded_ns - timing.started_ns)
    values["decide_ms"] = _ms(timing.decided_ns - timing.folded_ns)
    return values


def _ms(ns: int) -> float:
    return round(ns / 1e6, 3)


Processor = Callable[[Any, str, MutableMapping[str, Any]], Any]


def _processors(*, colours: bool) -> Sequence[Processor]:
    if colours:
        return (harmless, structlog.dev.ConsoleRenderer())
    return (harmless, structlog.processors.JSONRenderer(ensure_ascii=True, allow_nan=False))


def harmless(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the line with every text cleaned and every field named like a secret masked."""
    return {
        clean(str(key)): MASK if _names_secret(str(key)) else _harmless(value)
        for key, value in line.items()
    }


def _harmless(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # JSON has no NaN: a strict reader would throw the whole line away.
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple) and depth < DEPTH_MAX:
        return [_harmless(each, depth + 1) for each in value]
    return clean(str(value))


def _names_secret(key: str) -> bool:
    lowered = key.lower()
    return any(word in lowered for word in _SECRET_WORDS)
