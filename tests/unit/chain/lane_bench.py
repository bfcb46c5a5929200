"""A ledger, lanes and an executor on a fake node: what the unit tests of the sending side share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from keeper.chain.keys.signer import LocalSigner, Signer
from keeper.chain.ledger.rows import Attempt, CapParameters, Intent
from keeper.chain.ledger.store import Ledger
from keeper.chain.routes.routing import PublicRoute, Route
from keeper.chain.sending.dispatch import Point, no_point
from keeper.chain.sending.farewell import FarewellParameters
from keeper.chain.sending.nurse import FollowParameters
from keeper.chain.sending.sender import ExecutionParameters, LaneExecutor, Surroundings
from keeper.domain.effects import Call, Command
from keeper.domain.errors import KeeperError
from keeper.domain.events import CommandSent, Event
from keeper.ports import Clock
from tests.unit.chain.fake_node import CHAIN_ID, TARGET, FakeNode
from tests.unit.chain.scripted_node import PATIENCE_S


LANE = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1"
FUNDS = 10**21
QUICK = ExecutionParameters(
    recovery_retry_ms=5,
    catch_up_ms_max=60_000,  # a slow disk is no reason for another outcome
    follow=FollowParameters(rebroadcast_blocks=1, poll_ms=60_000),
    farewell=FarewellParameters(wait_ms_max=0),
)


class CountingClock(Clock):
    """Each reading is a microsecond after the one before."""

    def __init__(self) -> None:
        self.ns = 1_767_225_600 * 10**9

    def now_ns(self) -> int:
        self.ns += 1_000
        return self.ns

    def monotonic_ns(self) -> int:
        return self.now_ns()


def signer(number: int = 1) -> LocalSigner:
    return LocalSigner(bytes([number]) * 32, CHAIN_ID, [TARGET])


def hash_of(number: int) -> str:
    return f"0x{number:064x}"


def intent(command_id: int | None = 1, account: int = 1, kind: str = "act") -> Intent:
    return Intent(
        kind=kind,
        venue="venue",
        account=str(account),
        rank=1,
        value_wei=0,
        max_cost_wei=10**18,
        deadline_block=10,
        decided_hash=hash_of(99),
        command_id=command_id,
        command_kind=None if command_id is None else "bid",
        to=TARGET,
        data="0x01",
        gas=100_000,
        decided_number=1,
    )


def attempt(nonce: int = 0, seq: int = 0, number: int | None = None, **changes: object) -> Attempt:
    made = Attempt(
        hash=hash_of(1_000 * (nonce + 1) + seq if number is None else number),
        lane=LANE,
        nonce=nonce,
        seq=seq,
        raw=b"signed",
        tip_wei=1,
        cap_wei=10**9,
        gas=100_000,
        value_wei=0,
        kind="act",
        signed_at_ns=1_767_225_600 * 10**9,
    )
    return replace(made, **changes)


def command(
    node: FakeNode, identifier: int, account: int | None = None, **changes: object
) -> Command:
    account = identifier if account is None else account
    made = Command(
        id=identifier,
        venue="venue",
        account=account,
        kind="bid",
        call=Call(TARGET, f"0x{account:064x}"),
        gas=100_000,
        spend_max_wei=10**17,
        tip_budget_wei=100_000 * 10**9,
        deadline_block=node.head.number + 20,
        rank=identifier,
        sender=None,
        decided_number=node.head.number,
        decided_hash=node.head.hash,
    )
    return replace(made, **changes)


class Told:
    """What was posted and reported, in order, and the task that does so."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.reports: list[tuple[str, KeeperError]] = []
        self.task: asyncio.Task[None] | None = None

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110 - `holds` looks at more than what is posted
                await asyncio.sleep(0.001)


@asynccontextmanager
async def running(
    node: FakeNode,
    file: Path,
    *,
    lanes: int = 1,
    parameters: ExecutionParameters = QUICK,
    caps: CapParameters | None = None,
    point: Point = no_point,
    routes: Sequence[Route] | None = None,
    witnesses: Sequence[FakeNode] = (),
    signers: Sequence[Signer] | None = None,
    doubts: Mapping[str, Callable[[], bool]] | None = None,
) -> AsyncIterator[tuple[LaneExecutor, Told]]:
    """Run an executor until the block ends; it has recovered when the block begins."""
    told = Told()
    ledger = await Ledger.open(file, CHAIN_ID, caps or CapParameters())
    signers = [signer(number + 1) for number in range(lanes)] if signers is None else signers
    for each in signers:
        node.balances.setdefault(each.address, FUNDS)
    around = Surroundings(
        rpc=node,
        witnesses=witnesses,
        routes=[PublicRoute(node)] if routes is None else routes,
        reason=lambda venue, data: f"{venue}:{data}",
        clock=CountingClock(),
        report=lambda what, error: told.reports.append((what, error)),
        doubts=doubts or {},
    )
    task = None
    try:
        executor = LaneExecutor(CHAIN_ID, around, ledger, signers, parameters, point)
        told.task = task = asyncio.create_task(executor.run(told.events.append))
        await told.until(lambda: len(told.events) >= lanes or task.done())
        if task.done():
            await task
        yield executor, told
        if task.done():
            await task
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await ledger.close()


async def sent(
    node: FakeNode, executor: LaneExecutor, told: Told, *numbers: int, **changes: object
) -> None:
    """Submit commands of these numbers and wait until so many more were sent."""
    before = len(told.of(CommandSent))
    executor.submit([command(node, number, **changes) for number in numbers])
    await told.until(lambda: len(told.of(CommandSent)) == before + len(numbers))


async def follow(node: FakeNode, executor: LaneExecutor, blocks: int = 1) -> None:
    """Mine, tell the executor of each block, and wait until it has followed it."""
    for _ in range(blocks):
        node.mine()
        await catch_up(node, executor)


async def catch_up(node: FakeNode, executor: LaneExecutor) -> None:
    """Tell the executor of the node's head and wait until it stands there."""
    executor.on_block(node.head.number, node.head.hash)
    async with asyncio.timeout(PATIENCE_S):
        while executor.followed != node.head.hash:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
