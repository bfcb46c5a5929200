"""`exec.head_to_sent`: from a head's notification to the first byte of the best breach's bytes.

The keeper's own follower, inbox, engine, journal, machine, executor and ledger (with fsync) over a
book of 10,000 accounts; the chain is the simulation's, in this process, and its trial of a command
is a nod: what a node needs for that is measured on a node (`exec.preflight`).

    python -m tests.performance.head_bench
"""

import asyncio
import gc
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from keeper.app.links import GC_THRESHOLDS
from keeper.chain.keys.signer import LocalSigner
from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.chain.link.transport import Request
from keeper.chain.routes.routing import PublicRoute
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.chain.sending.sender import ExecutionParameters, LaneExecutor, Surroundings
from keeper.domain.effects import Effects
from keeper.domain.events import BlockSealed, Entry, Event
from keeper.liquidation.limits import LimitParameters
from keeper.machine import Machine, MachineParameters
from keeper.margin.kernel.warm import warm
from keeper.portfolio.state import Portfolio
from keeper.ports import Header, Timing
from keeper.protocols.derive.derive import Derive
from keeper.runtime.clock import SystemClock
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox
from keeper.runtime.journal import FileJournal, JournalLimits
from strategies.flag_only import FlagOnly
from tests.performance.stopwatch import p99
from tests.performance.table import GOALS, Figure, judged
from tests.simulation import places as on
from tests.simulation.genesis import STRIKES, begin, option_id, post_all
from tests.simulation.machine_run import STARTED
from tests.simulation.places import WAD, wad
from tests.simulation.sim_chain import GAS_LIMIT, Block, SimChain
from tests.simulation.sim_node import BALANCE_WEI, SimNode
from tests.simulation.venue_document import document
from tests.simulation.venue_truth import Truth


ACCOUNTS: Final = 10_000
BLOCKS: Final = 120
WARMING: Final = 5
QUIET_S: Final = 0.04
BREACHES: Final = 3  # accounts that come to be in breach in each block
SECRETS: Final = tuple(bytes([number]) * 32 for number in (7, 8, 9, 10))
HEADS: Final = HeadsConfig(block_time_ms=60_000, poll_interval_ms=60_000, call_deadline_ms=5_000)


class PromptNode(SimNode):
    """A node that answers at once and truly, and keeps the time."""

    def __init__(self, chain: SimChain, clock: Any) -> None:
        super().__init__("node", chain, random.Random(1), clock)
        self.faulty = 0.0
        self.told_at = 0.0
        self.sent_at: list[float] = []

    async def up(self) -> None:
        """It is up."""

    async def _wait(self, _: float) -> None:
        await asyncio.sleep(0)

    def _balance(self, _: str, __: Any) -> Any:
        return hex(BALANCE_WEI)  # a look-up to a node, a sum over all blocks to the simulation

    def _call(self, _: dict[str, Any], __: Any) -> Any:
        return "0x"  # what a node needs for a trial is measured on a node

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any]:
        if calls[0][0] == "eth_sendRawTransaction":
            self.sent_at.append(time.perf_counter())
        return await super().batch(calls, deadline_s=deadline_s)

    def announce(self, block: Block) -> None:
        """Tell of a head now, and note when."""
        self.sent_at = []
        header = self._header(block)  # and with it the bloom: a node's work, not ours
        self.told_at = time.perf_counter()
        self._deliver(header)


class Desk:
    """A chain with a large book on it, and how it goes on."""

    def __init__(self, accounts: int) -> None:
        chance = random.Random("desk")
        truth = begin(random.Random("desk"))
        truth.last_account = 1_000
        self._sound = [self._open(truth, chance) for _ in range(accounts)]
        post_all(truth, 2_000.0)
        truth.logs.clear()
        self.chain = SimChain(truth)
        self._spot = 2_000.0
        self._doomed: list[int] = []
        self._chance = chance

    def doom(self) -> Block:
        """Mine a block of new quotes in which some accounts come to be in breach."""
        self._doomed = [self._sound.pop() for _ in range(BREACHES)]

        def act(truth: Truth) -> None:
            for account in self._doomed:
                truth.move_cash(account, -truth.with_interest(account) + 100 * WAD)

        return self._mine(act)

    def cure(self) -> Block:
        """Mine a block after whose transactions the same accounts are well again."""

        def act(truth: Truth) -> None:
            for account in self._doomed:
                truth.move_cash(account, wad(50_000.0))

        def end(truth: Truth) -> None:
            for account in self._doomed:
                if truth.auctions.pop(account, None) is not None:
                    truth.emit("AuctionEnded", on.AUCTION, (), account, truth.now)

        self._mine()  # what was sent is included here
        return self._mine(act, end)

    def _mine(self, *acts: Callable[[Truth], None]) -> Block:
        self._spot *= self._chance.gauss(1.0, 0.0005)
        return self.chain.mine([lambda truth: post_all(truth, self._spot), *acts])

    def _open(self, truth: Truth, chance: random.Random) -> int:
        """Open an account that is short options and has cash enough."""
        account = truth.create(on.at(chance.randrange(0x1000, 0x2000)))
        truth.move_cash(account, wad(chance.uniform(20_000, 40_000)))
        for strike in STRIKES:
            option = option_id(on.LATER, strike, call=chance.random() < 0.5)
            truth.trade(account, on.OPTION, option, wad(-chance.uniform(0.5, 3.0)))
        truth.trade(account, on.PERP, 0, wad(chance.uniform(-1.0, 1.0)))
        return account


class Silent:
    """An engine's observer that shows nothing."""

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Show nothing."""


@asynccontextmanager
async def keeper(desk: Desk, folder: Path) -> AsyncIterator[tuple[PromptNode, Inbox]]:
    """Run the keeper's parts on the desk's chain; recovered when it is entered."""
    clock, first = SystemClock(), desk.chain.head
    node = PromptNode(desk.chain, clock)
    machine = _machine(first)
    inbox = Inbox(clock)
    inbox.post(STARTED)
    async with AsyncExitStack() as stack:
        ledger = await Ledger.open(folder / "ledger", on.CHAIN_ID, CapParameters())
        stack.push_async_callback(ledger.close)
        journal = FileJournal(folder, "bench", clock, JournalLimits())
        stack.callback(journal.close)
        executor = _executor(node, ledger)
        engine = Engine(inbox, machine, journal, executor, Silent(), clock)
        header = Header(
            first.number, first.hash, first.parent, first.timestamp, first.base_fee, GAS_LIMIT
        )
        watched = machine.venues[0].watch()
        follower = HeadFollower(node, clock, HEADS, on.CHAIN_ID, header, watched)

        def post_and_tell(event: Event) -> None:
            inbox.post(event)
            if isinstance(event, BlockSealed):
                executor.on_block(event.number, event.hash)

        works = (engine.run(), follower.run(post_and_tell), executor.run(inbox.post))
        tasks = [asyncio.ensure_future(work) for work in works]
        stack.push_async_callback(_end, tasks)
        await asyncio.sleep(1.0)
        yield node, inbox


def _machine(first: Block) -> Machine:
    """Return a machine that flags whatever is in breach, however many they are."""
    portfolio = Portfolio()
    venue = Derive(on.derive_config(), portfolio)
    portfolio.undo.begin(first.number, first.hash)
    venue.load(document(first.state, first.number, first.hash))
    parameters = MachineParameters(on.CHAIN_ID, limits=LimitParameters(gas_token_usd=10.0))
    return Machine(parameters, portfolio, (venue,), {venue.name: FlagOnly()})


def _executor(node: PromptNode, ledger: Ledger) -> LaneExecutor:
    around = Surroundings(
        rpc=node,
        witnesses=(),
        routes=(PublicRoute(node),),
        reason=lambda _, data: data,
        clock=SystemClock(),
        report=lambda word, error: print(f"{word}: {error}"),
    )
    targets = (on.AUCTION, on.MANAGER)
    signers = [LocalSigner(secret, on.CHAIN_ID, targets) for secret in SECRETS]
    return LaneExecutor(on.CHAIN_ID, around, ledger, signers, ExecutionParameters())


async def _end(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def head_to_sent(
    folder: Path, accounts: int = ACCOUNTS, blocks: int = BLOCKS
) -> list[Figure]:
    """Return head received to first byte sent of the best breach, the trial apart."""
    warm()
    desk, taken = Desk(accounts), list[float]()
    before = gc.get_threshold()
    async with keeper(desk, folder) as (node, _):
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        try:
            for turn in range(WARMING + blocks):
                node.announce(desk.doom())
                async with asyncio.timeout(10):
                    while len(node.sent_at) < BREACHES:  # noqa: ASYNC110 - the node tells nobody
                        await asyncio.sleep(0.001)
                if turn >= WARMING:
                    taken.append((node.sent_at[0] - node.told_at) * 1e3)
                await asyncio.sleep(QUIET_S)
                node.announce(desk.cure())
                await asyncio.sleep(QUIET_S)  # receipts, and what else the block brings
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()
    return [
        Figure("exec.head_to_sent.p50", statistics.median(taken), "ms"),
        Figure("exec.head_to_sent.p99", p99(taken), "ms"),
    ]


async def rows(folder: Path) -> list[Figure]:
    """Return the rows of head to sent."""
    return await head_to_sent(folder)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="exec-") as place:
        for row in judged(asyncio.run(head_to_sent(Path(place))), GOALS):
            print(row.line())
