"""Runs everything of the shell in one task group, and ends it in order, in time, with a code.

Must not know what a source watches or how an executor sends. Order of the end: sources stop (no new
work), commands are no longer submitted, the executor finishes the send it is in, its last outcomes
are journaled, the journal is closed, services (metrics, health) go last. Each step has a limit:
what does not end within it is named and left behind, and the process ends all the same.
"""

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final, Protocol

from keeper.domain.effects import Notice
from keeper.domain.errors import DataError, InvariantViolation, OperatorError
from keeper.ports import Executor, Journal, Source
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox


CRASH_EXIT_CODE: Final = 70
FRAMES_TOLD_MAX: Final = 6
# What each step still gets once an end now was asked for, and the loop's threads at the very end.
NOW_MS: Final = 200
LEAVE_MS: Final = 5_000
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Tell = Callable[[Notice], None]


class Service(Protocol):
    """Something beside the data path: a web server, a sampler."""

    async def run(self) -> None:
        """Serve until cancelled; raise OperatorError to end the run."""


@dataclass(frozen=True, slots=True)
class StopLimits:
    """How long each step of the end may take, milliseconds."""

    sources_ms: int = 2_000
    executor_ms: int = 15_000
    engine_ms: int = 5_000
    services_ms: int = 2_000


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of; app builds it. Names are for the operator."""

    inbox: Inbox
    engine: Engine
    journal: Journal
    executor: Executor
    sources: Mapping[str, Source]
    services: Mapping[str, Service]
    tell: Tell


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: the exit code, and the tasks that did not stop within their limit."""

    exit_code: int
    stuck: tuple[str, ...]


class Supervisor:
    """One run, from the first task to the exit code."""

    def __init__(self, parts: Parts, limits: StopLimits | None = None) -> None:
        self._parts = parts
        self._limits = limits or StopLimits()
        self._stop = asyncio.Event()
        self._now = asyncio.Event()
        self._left = asyncio.Event()
        self._exit_code = 0
        self._failed: list[str] = []
        self._stuck: list[str] = []

    def stop(self) -> None:
        """Ask for a graceful end; the second time, for an end now (safe: the ledger is durable)."""
        if self._stop.is_set():
            self._now.set()
        self._stop.set()

    async def run(self) -> Ended:
        """Run until stopped or until a part fails; never raises for a part's failure."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._signalled, number)
        body = loop.create_task(self._body(), name="body")
        left = loop.create_task(self._left.wait(), name="left")
        try:
            # A task group waits for its tasks for ever; one that will not stop must not keep us.
            await asyncio.wait({body, left}, return_when=asyncio.FIRST_COMPLETED)
            if body.done():
                body.result()
        finally:
            left.cancel()
            body.cancel()
            for number in SIGNALS:
                loop.remove_signal_handler(number)
        return Ended(self._exit_code, tuple(self._stuck))

    async def _body(self) -> None:
        parts, limits = self._parts, self._limits
        post = parts.inbox.post
        async with asyncio.TaskGroup() as group:

            def start(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
                return group.create_task(self._guard(name, work), name=name)

            services = [start(name, each.run()) for name, each in parts.services.items()]
            engine = start("engine", parts.engine.run())
            executor = start("executor", parts.executor.run(post))
            sources = [start(name, each.run(post)) for name, each in parts.sources.items()]
            await self._stop.wait()
            await self._end(sources, limits.sources_ms)
            parts.engine.retire()
            await self._end([executor], limits.executor_ms)
            await self._end([engine], limits.engine_ms)
            await self._close_record()
            await self._end(services, limits.services_ms)
            if self._stuck:
                self._left.set()

    async def _guard(self, name: str, work: Awaitable[None]) -> None:
        """Run a part; what it raises ends the run in order instead of tearing the group down."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - told, turned into an exit code, never lost
            self._fail(name, error)
        else:
            if not self._stop.is_set():
                self._fail(name, InvariantViolation(f"{name} ended by itself"))

    async def _end(self, tasks: Sequence[asyncio.Task[None]], limit_ms: int) -> None:
        """Cancel and wait, at most `limit_ms`, or `NOW_MS` once an end now was asked for."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_ms / 1_000
        waiting = {task for task in tasks if task.cancel()}
        now: asyncio.Task[Any] = loop.create_task(self._now.wait())
        watched: set[asyncio.Task[Any]] = {now}
        while waiting:
            left_s = max(0.0, deadline - loop.time())
            done, _ = await asyncio.wait(
                waiting | watched, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            waiting -= done
            if now in done:
                watched = set()
                for task in waiting:  # the first cancel is what it is taking its time over
                    task.cancel()
                deadline = min(deadline, loop.time() + NOW_MS / 1_000)
        now.cancel()
        # Sets have no order; names are told in one.
        for name in sorted(task.get_name() for task in waiting):
            self._stuck.append(name)
            fields = (("part", name), ("limit_ms", limit_ms))
            self._parts.tell(Notice("stop_limit_reached", "error", fields))

    async def _close_record(self) -> None:
        """Journal what the executor posted last, and close; a failed engine journals no more."""
        parts = self._parts
        try:
            if "engine" not in self._failed and "engine" not in self._stuck:
                async with asyncio.timeout(self._limits.engine_ms / 1_000):
                    await parts.engine.drain()
        except TimeoutError:
            fields = (("waiting", parts.inbox.waiting), ("limit_ms", self._limits.engine_ms))
            parts.tell(Notice("drain_limit_reached", "warning", fields))
        except Exception as error:  # noqa: BLE001 - told and turned into an exit code
            self._fail("engine", error)
        try:
            parts.journal.close()
        except OperatorError as error:
            self._fail("journal", error)

    def _signalled(self, number: signal.Signals) -> None:
        again = self._stop.is_set()
        self._parts.tell(Notice("stop_asked", "info", (("signal", number.name), ("again", again))))
        self.stop()

    def _fail(self, name: str, error: Exception) -> None:
        """Tell a part's failure; the first one decides the exit code."""
        cause = leaf(error)
        code = cause.exit_code if isinstance(cause, OperatorError) else CRASH_EXIT_CODE
        if not self._failed:
            self._exit_code = code
        self._failed.append(name)
        self._parts.tell(failure(name, cause, code))
        self._stop.set()


def run_to_end(main: Callable[[], Coroutine[Any, Any, Ended]]) -> int:
    """Run `main` on a fresh loop and return its exit code, in bounded time whatever is stuck."""
    with asyncio.Runner() as runner:
        ended = runner.run(main())
        if ended.stuck:
            _leave(ended.exit_code or CRASH_EXIT_CODE)
        # Closing the loop joins its threads, and one of them may hang in a system call.
        patience = threading.Timer(LEAVE_MS / 1_000, _leave, (ended.exit_code,))
        patience.daemon = True
        patience.start()
    patience.cancel()
    return ended.exit_code


def leaf(error: BaseException) -> BaseException:
    """Return the error inside a group that decides: an operator's first, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf(each) for each in error.exceptions]
    return next((each for each in leaves if isinstance(each, OperatorError)), leaves[0])


def failure(part: str, error: BaseException, exit_code: int) -> Notice:
    """Return the notice of a part's end: who must act, what went wrong, and where in our code."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_TOLD_MAX:]
    where = " < ".join(f"{PurePath(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    fields = (
        ("part", part),
        ("error", type(error).__name__),
        ("problem", str(error)),
        ("exit_code", exit_code),
        ("where", where),
    )
    if isinstance(error, OperatorError):
        return Notice("run_ended_for_operator", "error", fields)
    if isinstance(error, DataError):
        return Notice("run_ended_by_data", "error", fields)
    return Notice("run_crashed", "error", fields)


def _leave(exit_code: int) -> None:
    sys.stderr.flush()
    os._exit(exit_code)
