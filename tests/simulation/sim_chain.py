"""A chain in memory: blocks with parents, branches, a pool with nonces, and the venue's state.

Every block keeps the state after it, so any branch can be taken up again. It decides nothing by
chance: whoever drives it says what happens in the next block.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from keeper.domain.events import BlockSealed, Log
from tests.simulation import places as on
from tests.simulation.venue_auctions import execute
from tests.simulation.venue_truth import Reverts, Truth


GWEI = 10**9
GAS_LIMIT = 30_000_000
Action = Callable[[Truth], None]


@dataclass(frozen=True)
class Bytes:
    """A signed transaction as the pool knows it."""

    hash: str
    sender: str
    nonce: int
    tip: int
    cap: int
    gas: int
    to: str
    data: str


@dataclass(frozen=True)
class Placed:
    """A transaction in a block; `problem` is None where it succeeded."""

    bytes: Bytes
    problem: str | None
    gas_used: int
    price: int


@dataclass
class Block:
    """One block and the venue's state after it."""

    number: int
    hash: str
    parent: str
    timestamp: int
    base_fee: int
    gas_used: int
    state: Truth
    logs: tuple[Log, ...] = ()
    placed: list[Placed] = field(default_factory=list)
    nonces: dict[str, int] = field(default_factory=dict)

    def sealed(self, *, at_tip: bool = True, received_ns: int = 0) -> BlockSealed:
        """Return the block as the keeper's link would tell it."""
        return BlockSealed(
            chain_id=on.CHAIN_ID,
            number=self.number,
            hash=self.hash,
            parent=self.parent,
            timestamp=self.timestamp,
            base_fee_wei=self.base_fee,
            gas_limit=GAS_LIMIT,
            at_tip=at_tip,
            received_ns=received_ns,
            logs=self.logs,
        )


class SimChain:
    """The canonical branch from the start block on, every block ever made, and the pool."""

    def __init__(self, state: Truth) -> None:
        first = Block(
            on.START_BLOCK, digest("genesis"), digest("before"), state.now, GWEI, 0, state
        )
        self.canonical: list[Block] = [first]
        self.known: dict[str, Block] = {first.hash: first}
        self.pool: dict[tuple[str, int], Bytes] = {}
        self._made = 0

    @property
    def head(self) -> Block:
        return self.canonical[-1]

    def at(self, number: int) -> Block | None:
        """Return the canonical block of a number."""
        place = number - on.START_BLOCK
        return self.canonical[place] if 0 <= place < len(self.canonical) else None

    def is_canonical(self, block: Block) -> bool:
        return self.at(block.number) is block

    def mine(
        self,
        actions: Sequence[Action] = (),
        *,
        seconds: int = on.BLOCK_S,
        base_fee: int = GWEI,
        full: bool = False,
    ) -> Block:
        """Extend the branch: the pool's transactions (unless `full`), then strangers' actions."""
        parent = self.head
        self._made += 1
        state = parent.state.fork()
        state.now = parent.timestamp + seconds
        block = Block(
            number=parent.number + 1,
            hash=digest(parent.hash, self._made),
            parent=parent.hash,
            timestamp=state.now,
            base_fee=base_fee,
            gas_used=0,
            state=state,
            nonces=dict(parent.nonces),
        )
        logs: list[Log] = []
        # What a block does first decides what the rest finds: strangers' quotes come first.
        for turn, action in enumerate(actions):
            block.state = self._act(block.state, action, digest(block.hash, "act", turn), logs)
        while not full and (ready := self._next(block)) is not None:
            self._place(block, ready, logs)
        block.logs = tuple(logs)
        block.state.logs = []
        self.known[block.hash] = block
        self.canonical.append(block)
        return block

    def rewind(self, depth: int) -> list[Block]:
        """Take blocks off the branch and return them; their transactions go to the pool again."""
        gone = self.canonical[len(self.canonical) - depth :]
        del self.canonical[len(self.canonical) - depth :]
        for block in gone:
            for placed in block.placed:
                key = (placed.bytes.sender, placed.bytes.nonce)
                self.pool.setdefault(key, placed.bytes)
        return gone

    def adopt(self, blocks: Sequence[Block]) -> None:
        """Take up a branch that was left."""
        for block in blocks:
            assert block.parent == self.head.hash, "a branch stands on the head"
            self.canonical.append(block)

    def offer(self, raw: Bytes) -> str | None:
        """Take bytes into the pool by geth's rules; None, or the node's refusal."""
        key = (raw.sender, raw.nonce)
        old = self.pool.get(key)
        if old == raw:
            return "already known"
        if raw.nonce < self.head.nonces.get(raw.sender, 0):
            return "nonce too low"
        if old is not None and (raw.tip * 10 < old.tip * 11 or raw.cap * 10 < old.cap * 11):
            return "replacement transaction underpriced"
        self.pool[key] = raw
        return None

    def try_call(self, block: Block, sender: str, to: str, data: str) -> str | None:
        """Return None where a call would succeed on a block's state, else why not."""
        try:
            execute(block.state.fork(), sender, to, data)
        except Reverts as error:
            return str(error)
        return None

    def find(self, transaction: str) -> tuple[Block, Placed, int] | None:
        """Return where a transaction is on the branch, with its place in the block."""
        for block in reversed(self.canonical):
            for index, placed in enumerate(block.placed):
                if placed.bytes.hash == transaction:
                    return block, placed, index
        return None

    def _next(self, block: Block) -> Bytes | None:
        ready = [
            raw
            for (sender, nonce), raw in self.pool.items()
            if nonce == block.nonces.get(sender, 0) and raw.cap >= block.base_fee
        ]
        return min(ready, key=lambda raw: (-raw.tip, raw.sender), default=None)

    def _place(self, block: Block, raw: Bytes, logs: list[Log]) -> None:
        del self.pool[raw.sender, raw.nonce]
        block.nonces[raw.sender] = raw.nonce + 1
        problem = None
        if raw.data != "0x":
            trial = block.state.fork()
            try:
                execute(trial, raw.sender, raw.to, raw.data)
            except Reverts as error:
                problem = str(error)
            else:
                _number(trial, raw.hash, logs)
                block.state = trial
        used = min(raw.gas, 21_000 if raw.data == "0x" else 150_000)
        block.gas_used += used
        price = min(raw.cap, block.base_fee + raw.tip)
        block.placed.append(Placed(raw, problem, used, price))

    def _act(self, state: Truth, action: Action, transaction: str, logs: list[Log]) -> Truth:
        """Return the state after a stranger's action, as it was where the venue refused it."""
        trial = state.fork()
        try:
            action(trial)
        except Reverts:
            return state
        _number(trial, transaction, logs)
        return trial


def _number(state: Truth, transaction: str, logs: list[Log]) -> None:
    for each in state.logs:
        logs.append(Log(each.address, each.topics, each.data, len(logs), transaction))
    state.logs = []


def digest(*parts: object) -> str:
    """Return a hash of parts, as hex."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()
