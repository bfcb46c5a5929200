"""A machine on a small deployment with an auditor beside it, and endpoints that hold the truth.

`World` does what the engine does: every posted event is applied and heard, in order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Self

from keeper.app.assembly import Core
from keeper.app.audit.auditing import Auditor
from keeper.app.audit.inquiry import Inquiry, Witness
from keeper.app.audit.rules import RulesWatch
from keeper.app.observing import Renewal
from keeper.config import AuditSection
from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointUnreachable, KeeperError, RpcError
from keeper.domain.events import Entry, Event, Log, StateAudited
from keeper.machine import Machine, MachineParameters
from keeper.ports import CallFailed, Header
from keeper.protocols.derive.abi import SELECTOR
from keeper.runtime.clock import SystemClock
from tests.unit.fake_venue import StartAll
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.chain_views import Views, block, hash_of, raw
from tests.unit.protocols.derive.deployment import Deployment


AUDIT = AuditSection(quiet_ms=0)
EMPTY_SLOT = "0x" + 64 * "0"


class FakeEndpoint:
    """A `RulesReader` of a chain that holds a deployment; each switch is one way to fail."""

    def __init__(self, truth: Deployment) -> None:
        self.views = Views(truth)
        self.truth = truth
        self.silent = False
        self.held: asyncio.Event | None = None  # answers wait for it
        self.silent_after: int | None = None  # requests taken, and no more
        self.other_branch = False
        self.refused: set[int] = set()  # accounts it says an error about, as a capped node does
        self.storages: dict[tuple[str, str], str] = {}
        self.codes: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        self.asked: list[int] = []  # accounts, by margin view
        self.requests = 0

    async def header(self, number: int | str) -> Header:
        self._speak()
        assert isinstance(number, int)
        there = hash_of(number + 1_000) if self.other_branch else hash_of(number)
        return Header(number, there, hash_of(number - 1), on.NOW, 0, 0)

    async def call_many(
        self, calls: Sequence[tuple[str, str]], block: str, gas: int | None = None
    ) -> list[str | CallFailed]:
        self._speak()
        if self.silent_after is not None and self.requests >= self.silent_after:
            raise EndpointUnreachable("fake", "silent from here on")
        self.requests += 1
        if self.held is not None:
            await self.held.wait()
        views = {SELECTOR["heartbeat"], SELECTOR["settlementHeartbeat"]}
        margin = SELECTOR["getMarginAndMtM"]
        for where, data in calls:
            if data.startswith(margin) and int(data[10:74], 16) in self.refused:
                raise RpcError("fake", -32_000, "out of gas")
            if data.startswith(margin) and data.endswith("0" * 64):
                self.asked.append(int(data[10:74], 16))
            assert data[:10] not in views or where in self.truth.tables.feeds
        answers = [self._answer(where, data) for where, data in calls]
        return [CallFailed("0x") if each is None else "0x" + each.hex() for each in answers]

    async def logs(self, *_: Any) -> list[Any]:
        raise AssertionError("an audit reads no logs")

    async def code(self, address: str, block: str) -> str:
        self._speak()
        return self.codes.get(address, "0x60")

    async def storage(self, address: str, slot: str, block: str) -> str:
        self._speak()
        return self.storages.get((address, slot), EMPTY_SLOT)

    def _answer(self, where: str, data: str) -> bytes | None:
        if data == SELECTOR["owner"]:
            return raw(self.owners[where]) if where in self.owners else None
        if data == SELECTOR["guardian"]:
            return None
        feeds = self.truth.tables.feeds
        if data == SELECTOR["heartbeat"]:
            return raw(feeds[where].heartbeat_s)
        if data == SELECTOR["settlementHeartbeat"]:
            return raw(feeds[where].settlement_heartbeat_s)
        return self.views.answers([(where, data)])[0]

    def _speak(self) -> None:
        if self.silent:
            raise EndpointUnreachable("fake", "silent")


class World:
    """Ours and the endpoints' deployments begin equal; a test plants what differs."""

    def __init__(
        self,
        make: Callable[[], Deployment],
        rule: AuditSection = AUDIT,
        endpoints: int = 1,
        block_time_ms: int = 1_000,
    ) -> None:
        self.ours = make()
        self.endpoints = [FakeEndpoint(make()) for _ in range(endpoints)]
        venue = self.ours.venue
        machine = Machine(
            MachineParameters(chain_id=1), self.ours.portfolio, [venue], {venue.name: StartAll()}
        )
        self.core = Core(self.ours.portfolio, (venue,), machine)
        self.told: list[Notice] = []
        self.survived: list[KeeperError] = []
        self.renewal = Renewal()
        self.inquiry = Inquiry(self._witnesses, self.told.append, rule.call_gas)
        rules = RulesWatch(
            self.endpoints[0], (on.UTILS,), lambda _, error: self.survived.append(error)
        )
        self.auditor = Auditor(
            self.core, rule, SystemClock(), block_time_ms, self.inquiry, rules, self.renewal
        )
        self.posted: list[Event] = []
        self.notices: list[Notice] = []
        self._seq = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.auditor.run(self.post))
        await self.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        results = await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError), results[0]

    def post(self, event: Event) -> None:
        """Record an event, apply it, and let the auditor hear it."""
        self.posted.append(event)
        self._seq += 1
        entry = Entry(self._seq, 0, event)
        self.notices += self.core.machine.apply(entry).notices
        self.auditor.heard(entry)

    async def mine(self, *logs: Log) -> list[StateAudited]:
        """Seal the next block with these logs, and return what audits came of it."""
        assert self.core.portfolio.tip is not None
        number = self.core.portfolio.tip[0] + 1
        before = len(self.posted)
        self.post(replace(block(number), logs=logs))
        await self.settle()
        return [each for each in self.posted[before:] if isinstance(each, StateAudited)]

    async def settle(self) -> None:
        """Let everything that waits for nothing but the loop come to its end."""
        for _ in range(400):
            await asyncio.sleep(0)

    def kinds(self) -> list[str]:
        """Return the machine's notices by kind."""
        return [notice.kind for notice in self.notices]

    def _witnesses(self) -> list[Witness]:
        return [Witness(f"endpoint{at}", each) for at, each in enumerate(self.endpoints)]
