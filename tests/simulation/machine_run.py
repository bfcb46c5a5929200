"""Driver one: the pure machine fed with entries by a seeded world, checked after every one.

Thousands of events a second: no loop, no sockets, no files. The same entries are applied again to
a second machine at the end: replay = record.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from keeper.domain.codec import digest, floats
from keeper.domain.effects import Effects
from keeper.domain.events import (
    ChainRewound,
    Entry,
    Event,
    LaneObserved,
    OracleUpdated,
    Started,
    StateAudited,
    Ticked,
)
from keeper.liquidation.limits import LimitParameters
from keeper.liquidation.outbox import CooldownRule
from keeper.liquidation.strategy import Strategy
from keeper.machine import Machine, MachineParameters
from keeper.machine.screening import Screens
from keeper.portfolio.state import Portfolio
from keeper.protocols.derive.derive import Derive
from strategies.dutch_auction import DutchAuction
from strategies.flag_only import FlagOnly
from tests.simulation import checkers
from tests.simulation import places as on
from tests.simulation.checkers import Violated
from tests.simulation.genesis import begin
from tests.simulation.hands import Hands
from tests.simulation.sim_chain import GWEI, Block, SimChain
from tests.simulation.venue_document import document
from tests.simulation.workload import Workload


BLOCKS = 40
AUDITED = 0.8  # chance that everybody's audit is done within the block that stopped a venue
QUIET_BLOCKS = 14  # longer than the longest cooldown, and the queue at two commands a block
DEPTH_MAX = 8
PARAMETERS = MachineParameters(
    chain_id=on.CHAIN_ID,
    # Gas is cheap here: bids are to be made for small books, too.
    limits=LimitParameters(commands_per_block_max=2, deadline_blocks=4, gas_token_usd=10.0),
    cooldown=CooldownRule(first_blocks=1, most_blocks=4),
)
STARTED = Started("simulated", "00" * 32, "none", "00" * 32, 1)


@dataclass
class Tally:
    """What a run went through; added up over seeds."""

    events: int = 0
    blocks: int = 0
    rewinds: int = 0
    commands: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Count another run in."""
        self.events += other.events
        self.blocks += other.blocks
        self.rewinds += other.rewinds
        self.commands += other.commands
        for kind, count in other.by_kind.items():
            self.by_kind[kind] = self.by_kind.get(kind, 0) + count


def machine_on(block: Block, *, bids: bool = False, screens: Screens | None = None) -> Machine:
    """Return a machine that begins from a fresh snapshot of a block."""
    portfolio = Portfolio()
    venue = Derive(on.derive_config(), portfolio)
    portfolio.undo.begin(block.number, block.hash)
    venue.load(document(block.state, block.number, block.hash))
    strategy: Strategy = DutchAuction() if bids else FlagOnly()
    return Machine(PARAMETERS, portfolio, (venue,), {venue.name: strategy}, screens)


class MachineRun:
    """One seed: a world, a machine, and the record of what passed between them."""

    def __init__(self, seed: int, blocks: int = BLOCKS) -> None:
        self.tally = Tally()
        self.entries: list[Entry] = []
        self.sealed: list[tuple[str, tuple[float, ...]]] = []
        self._blocks = blocks
        self._chance = random.Random(f"machine {seed}")
        self._workload = Workload(random.Random(f"workload {seed}"))
        self.chain = SimChain(begin(random.Random(f"genesis {seed}")))
        self.bids = seed % 2 == 0  # half of the seeds buy, half only flag
        self.machine = machine_on(self.chain.head, bids=self.bids)
        self.hands = Hands(self.chain, random.Random(f"hands {seed}"))
        self._auditor = random.Random(f"auditor {seed}")
        self._first = self.chain.head
        self._asked = 0

    def run(self, *, replay: bool = True) -> Tally:
        """Run all blocks, then the quiet ones, then the replay; raises Violated."""
        self._apply(STARTED)
        while self.tally.blocks < self._blocks:
            self._step()
        self.hands.honest = True
        for _ in range(QUIET_BLOCKS):
            self._seal(self.chain.mine(self._workload.calm()))
            self._outcomes()
        checkers.every_breach_was_submitted(self.chain.head, self.hands.live)
        if replay:
            self.replay()
        return self.tally

    def replay(self, screens: Screens | None = None) -> None:
        """Apply the record to a machine from the same snapshot: equal effects, entry by entry."""
        again = machine_on(self._first, bids=self.bids, screens=screens)
        for entry, recorded in zip(self.entries, self.sealed, strict=True):
            effects = again.apply(entry)
            if (digest(effects), floats(effects)) != recorded:
                raise Violated("replay_equals_record", f"entry {entry.seq}")
        if checkers.everything(again) != checkers.everything(self.machine):
            raise Violated("replay_equals_record", "the state at the end")

    def _step(self) -> None:
        """Let one thing happen: mostly a block, now and then worse."""
        roll = self._chance.random()
        deep = min(self._chance.randint(1, DEPTH_MAX), len(self.chain.canonical) - 1)
        if roll < 0.09 and deep:
            self._reorg(deep, longer=self._chance.randint(0, 2))
        elif roll < 0.12 and deep:
            self._rewind(deep)  # silent: a shorter chain, until it grows again
        elif roll < 0.16 and deep:
            self._there_and_back(deep)
        elif roll < 0.22:
            self._catch_up(self._chance.randint(2, 5))
        elif roll < 0.28:
            self._apply(self._noise())
        else:
            self._seal(self._mine())
        if self._chance.random() < 0.9:
            self._outcomes()

    def _mine(self) -> Block:
        return self.chain.mine(
            self._workload.block(),
            seconds=self._chance.choice((12, 12, 12, 1, 30)),
            base_fee=self._chance.choice((GWEI, 3 * GWEI, 60 * GWEI)),
            full=self._chance.random() < 0.2,
        )

    def _reorg(self, depth: int, longer: int) -> None:
        self._rewind(depth)
        self._catch_up(depth + longer)

    def _rewind(self, depth: int) -> list[Block]:
        gone = self.chain.rewind(depth)
        head = self.chain.head
        self.tally.rewinds += 1
        self._apply(ChainRewound(on.CHAIN_ID, head.number, head.hash))
        checkers.state_is_the_chain_s(self.machine, head)
        return gone

    def _there_and_back(self, depth: int) -> None:
        """Undo, then redo the same blocks: the same state, to the last path-dependent row."""
        before = checkers.everything(self.machine)
        gone = self._rewind(depth)
        for block in gone:
            self.chain.adopt([block])
            self._seal(block, at_tip=False)
            for placed in block.placed:
                self.chain.pool.pop((placed.bytes.sender, placed.bytes.nonce), None)
        if checkers.everything(self.machine) != before:
            raise Violated("undo_then_redo", f"depth {depth} at block {self.chain.head.number}")

    def _catch_up(self, count: int) -> None:
        for left in reversed(range(count)):
            self._seal(self._mine(), at_tip=left == 0)

    def _noise(self) -> Event:
        lane = LaneObserved(on.LANE_OWNER, "READY", 10**18, self._chance.randint(0, 8))
        price = OracleUpdated("stream", "ETH", self._chance.uniform(1_000.0, 3_000.0), 1)
        return self._chance.choice((Ticked(), lane, price))

    def _seal(self, block: Block, *, at_tip: bool = True) -> None:
        self.tally.blocks += 1
        sealed = block.sealed(at_tip=at_tip)
        self._asked = 0
        effects = self._apply(sealed)
        checkers.state_is_the_chain_s(self.machine, block)
        if not at_tip and effects.commands:
            raise Violated("catching_up_decides_nothing", f"block {block.number}")
        if at_tip and block.number % 4 == 0:
            checkers.every_account_is_cleared(effects, block)
        if at_tip:
            self._audit(block)

    def _audit(self, block: Block) -> None:
        """Do as the auditor beside a machine: where rules moved, mostly agree with all at once.

        That every account agrees was checked a moment ago, against the chain's own state.
        """
        for venue in self.machine.venues:
            stopped = self.machine.gates.since(venue.name) is not None
            if stopped and (self.hands.honest or self._auditor.random() < AUDITED):
                self._apply(StateAudited(venue.name, block.number, block.hash, 1, True, ""))

    def _check(self, effects: Effects) -> None:
        """Hold commands, of a block or of what came after it, against the rules."""
        commands = effects.commands
        self._asked += len(commands)
        if any(each.decided_hash != self.chain.head.hash for each in commands):
            raise Violated("decided_on_the_head", f"at {self.chain.head.number}")
        checkers.caps_hold(commands, self._asked, self.chain.head.sealed(), self.machine)
        checkers.one_action_an_account(commands, self.hands)
        checkers.commands_are_right(commands, self.chain)
        self.hands.take(commands)

    def _outcomes(self) -> None:
        self._all(self.hands.work())

    def _all(self, events: Iterable[Event]) -> None:
        for event in events:
            self._apply(event)

    def _apply(self, event: Event) -> Effects:
        entry = Entry(len(self.entries) + 1, self.chain.head.timestamp * 10**9, event)
        self.entries.append(entry)
        effects = self.machine.apply(entry)
        self.sealed.append((digest(effects), floats(effects)))
        self.tally.events += 1
        self.tally.commands += len(effects.commands)
        for command in effects.commands:
            self.tally.by_kind[command.kind] = self.tally.by_kind.get(command.kind, 0) + 1
        if effects.commands:
            self._check(effects)
        return effects
