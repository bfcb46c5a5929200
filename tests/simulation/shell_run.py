"""Driver two: the real shell on a virtual loop, against nodes that fail and lie.

Inbox, engine, journal, head follower, lane executor and ledger are the keeper's own; the chain,
the clock and the nodes are the world's. The same checkers look on. The journal it leaves is
replayed at the end.
"""

import asyncio
import random
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from keeper.chain.keys.signer import LocalSigner
from keeper.chain.ledger.rows import CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.chain.link.branch import GapTooDeep
from keeper.chain.routes.routing import PublicRoute
from keeper.chain.sealing.heads import HeadFollower, HeadsConfig
from keeper.chain.sending.sender import ExecutionParameters, LaneExecutor, Surroundings
from keeper.domain.effects import Command, Effects
from keeper.domain.errors import KeeperError
from keeper.domain.events import BlockSealed, Entry, Event, StateAudited, TransactionIncluded
from keeper.machine import Machine
from keeper.ports import Header, Timing
from keeper.runtime.clock import Ticker
from keeper.runtime.engine import Engine
from keeper.runtime.inbox import Inbox
from keeper.runtime.journal import FileJournal, JournalLimits, file_path
from keeper.runtime.replay import replay
from tests.simulation import checkers
from tests.simulation import places as on
from tests.simulation.checkers import Violated
from tests.simulation.genesis import begin
from tests.simulation.machine_run import QUIET_BLOCKS, STARTED, Tally, machine_on
from tests.simulation.sim_chain import GAS_LIMIT, Block, SimChain
from tests.simulation.sim_node import SimNode
from tests.simulation.virtual_loop import VirtualClock, VirtualLoop
from tests.simulation.workload import Workload


BLOCKS = 40
DEPTH_MAX = 8
SETTLE_S = 30.0
KILLED = 0.04  # chance a step that the process is killed, and begins again from its ledger
ENDED_BLOCKS = 8  # in quiet: a command's deadline, the cancel after it, and its block
SECRETS = (bytes([7] * 32), bytes([8] * 32))
HEADS = HeadsConfig(
    block_time_ms=on.BLOCK_S * 1_000, poll_interval_ms=3_000, call_deadline_ms=2_000
)
CAPS = CapParameters()


class ShellRun:
    """One seed on a virtual loop; `run` returns the tally, raises Violated."""

    def __init__(self, seed: int, directory: Path, blocks: int = BLOCKS) -> None:
        self.tally = Tally()
        self.survived: dict[str, int] = {}
        self.directory = directory
        self._blocks = blocks
        self._seed = seed
        self._chance = random.Random(f"shell {seed}")
        self._workload = Workload(random.Random(f"workload {seed}"))
        self.chain = SimChain(begin(random.Random(f"genesis {seed}")))
        self.machine = self._machine_on(self.chain.head)
        self.lives: list[Block] = []  # the block of each process's snapshot
        self.nodes: list[SimNode] = []
        self._commands: dict[int, Command] = {}
        self._asked: dict[str, int] = {}
        self._orphaned: set[str] = set()
        self._jammed = 0

    def run(self) -> Tally:
        """Run the world and the keeper's lives in it to the end of the quiet blocks."""
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(self._run())
        for life, first in enumerate(self.lives, 1):
            replay(
                file_path(self.directory, f"life{life}", 1), lambda _, b=first: self._machine_on(b)
            )
        return self.tally

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._clock = VirtualClock(loop)
        self.nodes = [
            SimNode(name, self.chain, random.Random(f"{name} {self._seed}"), self._clock)
            for name in ("watch", "witness")
        ]
        world = asyncio.ensure_future(self._world())
        try:
            while not world.done():
                self._killed = asyncio.Event()
                await self._life(world)
            world.result()
        finally:
            world.cancel()
            await asyncio.gather(world, return_exceptions=True)

    async def _life(self, world: asyncio.Future[None]) -> None:
        """Run one process of the keeper: from a fresh snapshot and the ledger, to its death."""
        block = self.chain.head
        self.lives.append(block)
        self.machine = self._machine_on(block)
        async with AsyncExitStack() as stack:
            ledger = await Ledger.open(self.directory / "ledger", on.CHAIN_ID, CAPS)
            stack.push_async_callback(ledger.close)
            name = f"life{len(self.lives)}"
            journal = FileJournal(self.directory, name, self._clock, JournalLimits())
            stack.callback(journal.close)
            inbox = Inbox(self._clock)
            next_id = await ledger.next_command_id()
            inbox.post(replace(STARTED, next_command_id=next_id))
            await self._until_death(world, inbox, ledger, journal)
            if world.done():
                world.result()
                await self._end(ledger, inbox)

    async def _until_death(
        self, world: asyncio.Future[None], inbox: Inbox, ledger: Ledger, journal: FileJournal
    ) -> None:
        """Return when the world is over, the process is killed, or only a new snapshot helps."""
        executor = self._executor(self._clock, ledger)
        self._post = inbox.post
        engine = Engine(inbox, self.machine, journal, executor, self, self._clock)

        def post_and_tell(event: Event) -> None:
            inbox.post(event)
            if isinstance(event, BlockSealed):
                executor.on_block(event.number, event.hash)

        parts: tuple[Coroutine[Any, Any, Any], ...] = (
            engine.run(),
            self._follower(self.lives[-1]).run(post_and_tell),
            executor.run(inbox.post),
            Ticker(5_000).run(inbox.post),
            self._killed.wait(),
        )
        tasks = [asyncio.ensure_future(each) for each in parts]
        try:
            done, _ = await asyncio.wait({world, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {world}:
                task.result()
        except GapTooDeep:
            self.tally.by_kind["too_deep"] = self.tally.by_kind.get("too_deep", 0) + 1
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ── the keeper's parts ──

    def _machine_on(self, block: Block) -> Machine:
        return machine_on(block, bids=self._seed % 2 == 0)

    def _follower(self, first: Block) -> HeadFollower:
        start = Header(
            first.number, first.hash, first.parent, first.timestamp, first.base_fee, GAS_LIMIT
        )
        addresses = self.machine.venues[0].watch()
        watch, witness = self.nodes
        return HeadFollower(
            watch, self._clock, HEADS, on.CHAIN_ID, start, addresses, lambda: (witness,)
        )

    def _executor(self, clock: VirtualClock, ledger: Ledger) -> LaneExecutor:
        watch, witness = self.nodes
        around = Surroundings(
            rpc=watch,
            witnesses=(witness,),
            routes=(PublicRoute(watch), PublicRoute(witness)),
            reason=lambda _, data: self.machine.venues[0].reason(data),
            clock=clock,
            report=self._report,
        )
        targets = (on.AUCTION, on.MANAGER)
        signers = [LocalSigner(secret, on.CHAIN_ID, targets) for secret in SECRETS]
        return LaneExecutor(on.CHAIN_ID, around, ledger, signers, ExecutionParameters())

    def _report(self, word: str, error: KeeperError) -> None:
        self.survived[word] = self.survived.get(word, 0) + 1

    # ── the world ──

    async def _world(self) -> None:
        while self.tally.blocks < self._blocks:
            await asyncio.sleep(on.BLOCK_S + self._chance.uniform(-1.0, 1.0))
            self._step()
        for node in self.nodes:
            node.faulty = 0.0
        for _ in range(QUIET_BLOCKS):
            await asyncio.sleep(on.BLOCK_S)
            self._tell(self.chain.mine(self._workload.calm()))
        await asyncio.sleep(SETTLE_S)

    def _step(self) -> None:
        roll = self._chance.random()
        deep = min(self._chance.randint(1, DEPTH_MAX), len(self.chain.canonical) - 1)
        if roll < 0.12 and deep:
            self._rewind(deep)
            for _ in range(deep + self._chance.randint(0, 2)):
                self._tell(self._mine())
        elif roll < 0.16 and deep:
            self._rewind(deep)  # silent, and shorter for now
        elif roll < 0.22:
            for _ in range(self._chance.randint(2, 5)):
                self._tell(self._mine())
        else:
            self._tell(self._mine())
        if self.chain.pool and self._chance.random() < 0.1:
            del self.chain.pool[self._chance.choice(sorted(self.chain.pool))]
        self._one_live_action()
        if self._chance.random() < KILLED:
            self._killed.set()

    def _mine(self) -> Block:
        self.tally.blocks += 1
        # Now and then blocks have no room for us, several in a row: bytes are replaced then.
        self._jammed = max(0, self._jammed - 1)
        if self._chance.random() < 0.12:
            self._jammed = self._chance.randint(1, 7)
        return self.chain.mine(self._workload.block(), full=self._jammed > 0)

    def _rewind(self, depth: int) -> None:
        self.tally.rewinds += 1
        for block in self.chain.rewind(depth):
            self._orphaned.update(placed.bytes.hash for placed in block.placed)

    def _tell(self, block: Block) -> None:
        for node in self.nodes:
            node.tell(block)

    def _one_live_action(self) -> None:
        """At most one action of an account waits in the pool that no block ever held."""
        seen: dict[tuple[str, str], str] = {}
        for raw in self.chain.pool.values():
            if raw.data == "0x" or raw.hash in self._orphaned:
                continue
            account = raw.data[10:74] if raw.to == on.AUCTION else raw.data[74:138]
            other = seen.setdefault((raw.to, account), raw.hash)
            if other != raw.hash:
                raise Violated("one_live_action", f"{other} and {raw.hash}, {int(account, 16)}")

    # ── looking on ──

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        """Check an applied entry: the engine's observer."""
        self.tally.events += 1
        event = entry.event
        if isinstance(event, BlockSealed):
            checkers.state_is_the_chain_s(self.machine, self.chain.known[event.hash])
        if isinstance(event, TransactionIncluded):
            command = self._commands[event.command_id]
            if event.gas_used * event.price_wei > command.spend_max_wei:
                raise Violated("spend_cap", f"command {command.id} cost more")
        if effects.commands:
            self._check(effects.commands)
        if isinstance(event, BlockSealed) and event.at_tip:
            self._audit(event)

    def _audit(self, block: BlockSealed) -> None:
        """Do as the auditor beside a machine: everybody was compared with the chain just now."""
        for venue in self.machine.venues:
            if self.machine.gates.since(venue.name) is not None:
                self._post(StateAudited(venue.name, block.number, block.hash, 1, True, ""))

    def _check(self, commands: tuple[Command, ...]) -> None:
        block = self.chain.known[commands[0].decided_hash]
        self._asked[block.hash] = self._asked.get(block.hash, 0) + len(commands)
        checkers.caps_hold(commands, self._asked[block.hash], block.sealed(), self.machine)
        checkers.commands_are_right(commands, self.chain)
        self.tally.commands += len(commands)
        for command in commands:
            self._commands[command.id] = command
            self.tally.by_kind[command.kind] = self.tally.by_kind.get(command.kind, 0) + 1

    async def _end(self, ledger: Ledger, inbox: Inbox) -> None:
        """Faults have stopped: nothing waits, nothing is left to do, all money is accounted for."""
        if inbox.waiting:
            raise Violated("the_inbox_empties", f"{inbox.waiting} entries wait")
        checkers.state_is_the_chain_s(self.machine, self.chain.head)
        live = {each.account: id_ for id_, each in self.machine.outbox._live.items()}
        checkers.every_breach_was_submitted(self.chain.head, live)
        for slot in await ledger.open_slots():
            old = slot.intent.decided_number < self.chain.head.number - ENDED_BLOCKS
            if slot.state == "LIVE" and old:
                raise Violated("every_slot_ends", f"nonce {slot.nonce}: {slot.intent.state}")
        for lane in self.machine.lanes.values():
            if lane.state != "READY":
                raise Violated("lanes_come_back", f"{lane.lane} is {lane.state}")
        _, settled = await ledger.spent("global")
        if settled != self._paid():
            raise Violated("money_is_accounted_for", f"{settled} wei, chain {self._paid()}")

    def _paid(self) -> int:
        return sum(
            placed.gas_used * placed.price
            for block in self.chain.canonical
            for placed in block.placed
        )


def run_shell(seed: int, blocks: int = BLOCKS) -> Tally:
    """Run a seed in a folder of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="keeper-simulation-") as folder:
        return ShellRun(seed, Path(folder), blocks).run()


def journal_of(seed: int, blocks: int) -> tuple[bytes, Any]:
    """Return the journal's bytes of a run, and its tally."""
    with tempfile.TemporaryDirectory(prefix="keeper-simulation-") as folder:
        tally = ShellRun(seed, Path(folder), blocks).run()
        return file_path(Path(folder), "life1", 1).read_bytes(), tally
