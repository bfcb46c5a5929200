"""The loop at the heart of the shell: record, fold, decide, seal, submit, observe.

Must not know what a block, a margin or a transaction is; the machine does. The order is the whole
point: an entry is on record before the machine sees it, and what it caused is sealed before any of
it is carried out, so that a journal never lacks what the world has been told to do.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from keeper.domain.effects import Effects
from keeper.domain.events import Entry
from keeper.ports import Clock, Executor, Journal, Observer, Timing
from keeper.runtime.inbox import Inbox, Posted


class Machine(Protocol):
    """The pure core as the engine sees it; `apply(entry)` is `fold`, then `decide`.

    Both are synchronous, read no clock and raise only InvariantViolation (or a DataError for a
    log that must not be decided on, which ends the run as well).
    """

    def fold(self, entry: Entry) -> None:
        """Take the entry into the tables; immediate and cheap."""

    def decide(self, entry: Entry) -> Effects:
        """Return what the entry, folded just before, asks for."""


@dataclass(frozen=True, slots=True)
class Applied:
    """How far the engine has come; `retired_commands` were decided but no longer submitted."""

    seq: int
    entries: int
    commands: int
    retired_commands: int


class Engine:
    """Applies entries one by one, in order, for as long as nothing is wrong.

    A StorageError of the journal, an InvariantViolation of the machine or any other error leaves
    `run` at once: nothing of that entry is submitted and no later entry is applied.
    """

    def __init__(
        self,
        inbox: Inbox,
        machine: Machine,
        journal: Journal,
        executor: Executor,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._inbox = inbox
        self._machine = machine
        self._journal = journal
        self._executor = executor
        self._observer = observer
        self._clock = clock
        self._retired = False
        self._applied = Applied(0, 0, 0, 0)

    async def run(self) -> None:
        """Apply entries until cancelled; cancellation falls between two entries, never inside."""
        while True:
            self.apply(await self._inbox.take())
            # Commands just submitted must not wait for the next entry, nor sockets for an empty
            # inbox: the loop goes round once between two entries.
            await asyncio.sleep(0)

    def apply(self, posted: Posted) -> Effects:
        """Put one entry through; raises what the journal or the machine raises."""
        entry = posted.entry
        started_ns = self._clock.monotonic_ns()
        self._journal.record(entry)
        self._machine.fold(entry)
        folded_ns = self._clock.monotonic_ns()
        effects = self._machine.decide(entry)
        decided_ns = self._clock.monotonic_ns()
        self._journal.seal(entry, effects)
        if effects.commands and not self._retired:
            self._executor.submit(effects.commands)
        self._count(entry, effects)
        timing = Timing(posted.posted_ns, started_ns, folded_ns, decided_ns)
        self._observer.observe(entry, effects, timing)
        return effects

    def retire(self) -> None:
        """Submit nothing from here on: outcomes are still recorded while the run winds down."""
        self._retired = True

    async def drain(self) -> int:
        """Apply what waits, without waiting for more; return how many entries that was."""
        assert self._retired, "drain only what can no longer cause a send"
        count = 0
        while (posted := self._inbox.take_waiting()) is not None:
            self.apply(posted)
            count += 1
            await asyncio.sleep(0)
        return count

    @property
    def applied(self) -> Applied:
        """Return how far the engine has come."""
        return self._applied

    def _count(self, entry: Entry, effects: Effects) -> None:
        before = self._applied
        assert entry.seq > before.seq, "the inbox numbers upward"
        sent = 0 if self._retired else len(effects.commands)
        self._applied = Applied(
            entry.seq,
            before.entries + 1,
            before.commands + sent,
            before.retired_commands + len(effects.commands) - sent,
        )
