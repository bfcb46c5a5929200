"""Sockets in the wall: the smallest protocol each consumer in the shell needs.

Only runtime, chain, oracle, telemetry, app and a protocol's snapshot.py import this room.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keeper.domain.effects import Command, Effects
from keeper.domain.events import Entry, Event, Log
from keeper.domain.units import Address, Hash


Post = Callable[[Event], None]


class Clock(Protocol):
    """The one place where time is read; `keeper.runtime.clock` has the real one."""

    def now_ns(self) -> int:
        """Return unix time in nanoseconds, for stamps and for humans."""

    def monotonic_ns(self) -> int:
        """Return a clock that never goes back, for timeouts and latencies."""


class Source(Protocol):
    """Something that turns the world into events until it is cancelled."""

    async def run(self, post: Post) -> None:
        """Post events in order; return only when cancelled; raise OperatorError to end the run."""


class Executor(Protocol):
    """Something that carries out commands and posts every outcome as an event."""

    def submit(self, commands: Sequence[Command]) -> None:
        """Take commands in rank order; never blocks, never raises for a bad command."""

    async def run(self, post: Post) -> None:
        """Work until cancelled."""


class Journal(Protocol):
    """The event record: written before an entry is applied, sealed after."""

    def record(self, entry: Entry) -> None:
        """Append the entry; raises StorageError, after which nothing may be decided."""

    def seal(self, entry: Entry, effects: Effects) -> None:
        """Append the digest of what the entry caused, chained to the one before."""

    def close(self) -> None:
        """Flush to the disk and close."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Monotonic nanoseconds of one entry through the engine, for latency metrics only."""

    posted_ns: int
    started_ns: int
    folded_ns: int
    decided_ns: int


class Observer(Protocol):
    """Telemetry's side of the engine."""

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """See one applied entry; must not raise and must not block."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot or a head needs of a block header."""

    number: int
    hash: Hash
    parent: Hash
    timestamp: int
    base_fee_wei: int
    gas_limit: int


@dataclass(frozen=True, slots=True)
class CallFailed:
    """A call that the chain reverted; `data` is the revert data as hex ("0x" when empty)."""

    data: str


class ChainReader(Protocol):
    """Reads pinned to one block hash, for snapshots, checks and audits."""

    async def header(self, number: int | str) -> Header:
        """Return the header at a number or a tag ("latest", "finalized"); raises EndpointError."""

    async def call_many(
        self, calls: Sequence[tuple[Address, str]], block: Hash, gas: int | None = None
    ) -> list[str | CallFailed]:
        """Return each call's result as hex, in order, at one block hash; raises EndpointError."""

    async def logs(
        self, addresses: Sequence[Address], topics: Sequence[str], first: int, last: int
    ) -> list[tuple[int, Hash, Log]]:
        """Return (number, block hash, log) of the closed range, in order; any of `topics` first."""

    async def code(self, address: Address, block: Hash) -> str:
        """Return the contract code as hex, "0x" when there is none."""


class RulesReader(ChainReader, Protocol):
    """A reader that also looks behind a contract: what no view of it and no log tells."""

    async def storage(self, address: Address, slot: Hash, block: Hash) -> Hash:
        """Return a storage word as hex of 32 bytes; raises EndpointError."""
