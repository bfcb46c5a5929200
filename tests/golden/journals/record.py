"""Records the golden journals: short scripted runs of the machine, kept for good.

`python -m tests.golden.journals.record` writes them anew, in this folder. Do that only when a
change of effects is meant, and say so in the changelog: a golden journal that no longer replays is
what they are there to show. `diverges` is recorded by a keeper with a planted bug.
"""

import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from keeper.app.assembly import Places, assemble, load_snapshot
from keeper.app.state.snapshots import store
from keeper.config import Config, config_digest, load
from keeper.domain.events import ChainRewound, Entry, Event, Started, Ticked
from keeper.ports import Clock
from keeper.runtime.journal import FileJournal, JournalLimits
from tests.simulation import places as on
from tests.simulation import planted
from tests.simulation.genesis import SPOT_USD, begin, post_all
from tests.simulation.hands import Hands
from tests.simulation.places import wad
from tests.simulation.sim_chain import Action, Block, SimChain
from tests.simulation.venue_auctions import sell
from tests.simulation.venue_document import document
from tests.simulation.venue_truth import Truth


FOLDER: Final = Path(__file__).parent
SNAPSHOT: Final = "start.json"
CHANCE: Final = "golden 16"  # nobody in breach at first, a third of the book in a crash


class StillClock:
    """A clock that stands: a journal's bytes depend on nothing but its entries."""

    def now_ns(self) -> int:
        """Return the start of the simulated venue."""
        return on.GENESIS_S * 10**9

    def monotonic_ns(self) -> int:
        """Return zero."""
        return 0


class Recording:
    """One machine, one chain and one journal; each method is a thing that happens."""

    def __init__(self, config: Config, name: str, chain: SimChain, digest: str) -> None:
        core = assemble(config)
        load_snapshot(core, snapshot(chain.head))
        clock: Clock = StillClock()
        places = Places(Path(config.keeper.data_dir))
        self.chain = chain
        self.hands = Hands(chain, random.Random(name))
        self.hands.honest = True
        self._machine = core.machine
        self._journal = FileJournal(places.journal, name, clock, JournalLimits())
        self._seq = 0
        self.apply(Started("golden", config_digest(config), SNAPSHOT, digest, 1))

    def apply(self, event: Event) -> None:
        """Record an event, apply it, seal it, and take what it asks for."""
        self._seq += 1
        entry = Entry(self._seq, self.chain.head.timestamp * 10**9, event)
        self._journal.record(entry)
        effects = self._machine.apply(entry)
        self._journal.seal(entry, effects)
        self.hands.take(effects.commands)

    def block(self, *actions: Action, at_tip: bool = True, seconds: int = on.BLOCK_S) -> None:
        """Mine a block, seal it, and hear what became of earlier commands."""
        self.apply(self.chain.mine(actions, seconds=seconds).sealed(at_tip=at_tip))
        if at_tip:
            self.outcomes()

    def outcomes(self) -> None:
        """Hear what became of commands up to now."""
        for event in self.hands.work():
            self.apply(event)

    def rewind(self, depth: int) -> None:
        """Leave the branch."""
        self.chain.rewind(depth)
        self.apply(ChainRewound(on.CHAIN_ID, self.chain.head.number, self.chain.head.hash))

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def quotes(spot: float) -> Action:
    """Return the action that posts every feed around a spot."""
    return lambda truth: post_all(truth, spot)


def snapshot(block: Block) -> dict[str, object]:
    """Return a block's state as a run's snapshot file holds it."""
    venue = document(block.state, block.number, block.hash)
    return {"number": block.number, "hash": block.hash, "venues": {"derive": venue}}


# ── the stories ──


def reorg(run: Recording) -> None:
    """A crash, starts included; then a branch four deep on which the crash never came."""
    run.block(quotes(SPOT_USD))
    run.block(quotes(SPOT_USD * 0.7))
    run.block()
    run.block()
    run.rewind(4)
    for _ in range(4):
        run.block(quotes(SPOT_USD * 1.01), at_tip=False)
    run.block()
    run.block(quotes(SPOT_USD * 0.72))
    run.block()


def stale_oracle(run: Recording) -> None:
    """Spot is not posted for longer than its heartbeat in a crash, then comes back."""
    run.block(quotes(SPOT_USD))
    for _ in range(3):
        run.block(lambda truth: truth.post_diff(on.PERP_FEED, wad(-40.0)), seconds=30)
    run.apply(Ticked())
    run.block(quotes(SPOT_USD * 0.75))
    run.block()


def gap(run: Recording) -> None:
    """Blocks that no head announced are caught up with: folded, not decided on, but the last."""
    run.block(quotes(SPOT_USD))
    for step in range(6):
        run.block(quotes(SPOT_USD * (1.0 - 0.05 * step)), _deposit(3, 50.0), at_tip=False)
    run.block(quotes(SPOT_USD * 0.7))
    run.block()


def insolvency(run: Recording) -> None:
    """A crash too deep for some: insolvent starts, a solvent auction converted, one sold out."""
    run.block(quotes(SPOT_USD))
    run.block(quotes(SPOT_USD * 0.62))
    for _ in range(6):
        run.block(quotes(SPOT_USD * 0.62))
    live = sorted(run.chain.head.state.auctions)
    run.block(lambda truth: sell(truth, live[0], 10, 2))
    for _ in range(9):
        run.block(quotes(SPOT_USD * 0.6), seconds=30)
    run.block(lambda truth: sell(truth, live[0], 10, 1))
    run.block(quotes(SPOT_USD * 0.95))
    run.block()


def _deposit(account: int, usd: float) -> Action:
    def action(truth: Truth) -> None:
        truth.move_cash(account, wad(usd))

    return action


STORIES: Final[dict[str, Callable[[Recording], None]]] = {
    "reorg": reorg,
    "stale_oracle": stale_oracle,
    "gap": gap,
    "insolvency": insolvency,
}
MUST_DIVERGE: Final = "diverges"


def record(folder: Path, names: Iterable[str] = (*STORIES, MUST_DIVERGE)) -> None:
    """Write the snapshot and the named journals into a folder that holds the configuration."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        config = load(Path("config.toml"), {})
        places = Places(Path(config.keeper.data_dir))
        for name in names:
            chain = SimChain(begin(random.Random(CHANCE)))
            digest = store(places.snapshots / SNAPSHOT, snapshot(chain.head))
            for old in places.journal.glob(f"{name}.*"):
                old.unlink()
            run = Recording(config, name, chain, digest)
            if name == MUST_DIVERGE:
                with planted.breach_overlooked():
                    reorg(run)
            else:
                STORIES[name](run)
            run.close()
    finally:
        os.chdir(before)


if __name__ == "__main__":
    record(FOLDER)
