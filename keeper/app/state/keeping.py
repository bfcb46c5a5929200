"""A run's state: held back from deciding until it agrees with the chain, and saved as it goes on.

Sees every entry after the machine has folded it. Must not know how a block is followed or what is
decided on it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from keeper.app.assembly import Places
from keeper.app.state.files import candidates, label_of, refuse, write_state
from keeper.app.state.snapshots import prune
from keeper.app.state.warm import Begun, sampled, told
from keeper.config import Config
from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError, StateRefused, StorageError
from keeper.domain.events import BlockSealed, Entry, Event, StateAudited
from keeper.domain.units import Hash
from keeper.portfolio.image import Cut, Label, cut
from keeper.ports import ChainReader, Header
from keeper.protocols.derive.snapshot import compare
from keeper.protocols.derive.views.agreement import Standing
from keeper.protocols.derive.wiring import DeriveConfig
from keeper.runtime.supervisor import Ended
from keeper.telemetry.health import Health
from keeper.telemetry.logging import Lines


IDLE_LOOK_S = 0.005
IDLE_LOOKS_MAX = 200  # 1 s; then the state is saved although entries wait


class Sample(NamedTuple):
    """What was held of a few accounts when a block had just been folded."""

    block: Header
    venues: tuple[tuple[DeriveConfig, Standing], ...]


class Telling(NamedTuple):
    """Whom to tell: the log and readiness; who begins a run anew, and whether that was asked."""

    lines: Lines
    health: Health
    renew: Callable[[str], None]
    renewing: Callable[[], bool]


class Keeping:
    """Lets no block be decided on before the state agrees; saves it every so many blocks.

    A `Service` that hears every entry. `waiting` says how many of them wait for the machine: a copy
    is taken between two blocks, and the rest is done by a thread.
    """

    def __init__(
        self,
        config: Config,
        begun: Begun,
        reader: ChainReader,
        telling: Telling,
        waiting: Callable[[], int],
    ) -> None:
        self.agreed = begun.agreed
        self.saved_number = begun.header.number if begun.warm else 0  # 0: none of this run
        self._config = config
        self._begun = begun
        self._reader = reader
        self._tell = telling
        self._waiting = waiting
        self._gates = begun.core.machine.gates
        self._names = [venue.name for venue in begun.core.venues]
        self._places = Places(Path(config.keeper.data_dir))
        self._tried = self.saved_number
        self._wanted: Hash | None = None
        self._sample: Sample | None = None
        self.due = False
        self._stirred = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._distrusted = False  # something was found that the files may share
        self._halted = False
        if not begun.agreed:
            telling.health.hold("state", "not compared with the chain yet")

    def admitted(self, event: Event) -> Event:
        """Return a block as the machine may see it: not to be decided on while we are unsure."""
        if self.agreed or not isinstance(event, BlockSealed) or not event.at_tip:
            return event
        self._wanted = event.hash
        return replace(event, at_tip=False)

    def heard(self, entry: Entry) -> None:
        """See what an applied entry means for the state: whether to compare it, or to save it."""
        block = entry.event
        if isinstance(block, StateAudited) and block.drift:
            self._distrust()
        if not isinstance(block, BlockSealed):
            return
        if not self._halted and any(map(self._gates.halted, self._names)):
            self._halted = True
            self._distrust()
        if not self.agreed and block.hash == self._wanted:
            self._sample = self._sampled(block)
            self._stirred.set()
        elif block.at_tip and 0 < self._config.keeper.save_blocks <= block.number - self._tried:
            self._tried = block.number
            self.due = True
            self._stirred.set()

    async def run(self) -> None:
        """Compare and save when there is something to; raises StorageError, ChainMismatch."""
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            if self._distrusted:
                self._refuse_all()
            sample, self._sample = self._sample, None
            if sample is not None and not self.agreed:
                await self._compare(sample)
            if self.due:
                self.due = False
                await self._idle()
                await self._save()

    async def end(self, ended: Ended) -> None:
        """Save once more after a run that ended in order."""
        if self._writing is not None:
            await asyncio.wait({self._writing})
        if self._distrusted:
            self._refuse_all()
        if self._config.keeper.save_blocks and ended.exit_code == 0 and not ended.stuck:
            await self._save()

    # ── comparing ──

    def _sampled(self, block: BlockSealed) -> Sample:
        header = Header(
            block.number,
            block.hash,
            block.parent,
            block.timestamp,
            block.base_fee_wei,
            block.gas_limit,
        )
        venues = self._begun.core.venues
        return Sample(
            header, tuple((each.config, sampled(self._config, each, block.hash)) for each in venues)
        )

    async def _compare(self, sample: Sample) -> None:
        """Believe the state, or ask for a new one; a node that is away is asked again later."""
        where = (("number", sample.block.number), ("hash", sample.block.hash))
        for venue, ours in sample.venues:
            try:
                found = await compare(self._reader, venue, sample.block, ours)
            except EndpointError as error:
                fields = (*where, ("venue", venue.name), ("problem", str(error)))
                self._tell.lines.tell(Notice("state_unchecked", "warning", fields))
                return
            if found:
                self._discard((*where, ("venue", venue.name), ("problem", told(found))))
                return
        self.agreed = True
        self._tell.health.release("state")
        accounts = sum(len(ours.accounts) for _, ours in sample.venues)
        self._tell.lines.tell(Notice("state_agrees", "info", (*where, ("accounts", accounts))))

    def _discard(self, fields: tuple[tuple[str, int | str], ...]) -> None:
        """Leave the file that we began from aside for good, and begin again."""
        refuse(self._places.snapshots / self._begun.file)
        fields = (("file", self._begun.file), ("reason", "disagrees"), *fields)
        self._tell.lines.tell(Notice("state_refused", "error", fields))
        self._tell.renew("the state of a file disagrees with the chain")

    def _distrust(self) -> None:
        """Note that what was saved may be as wrong as what we hold: the next start is cold."""
        self._distrusted = True
        self._stirred.set()

    def _refuse_all(self) -> None:
        """Leave every file aside; none is being written, whoever calls this has waited for it."""
        self._distrusted = False
        for path in candidates(self._places):
            refuse(path)
            fields = (("file", path.name), ("reason", "distrusted"), ("problem", "drift or a halt"))
            self._tell.lines.tell(Notice("state_refused", "warning", fields))

    # ── saving ──

    async def _idle(self) -> None:
        """Wait until no entry waits for the machine, but not for ever."""
        for _ in range(IDLE_LOOKS_MAX):
            if not self._waiting():
                return
            await asyncio.sleep(IDLE_LOOK_S)

    async def _save(self) -> None:
        """Write the state of the block we stand at; a failure is told, and the run goes on."""
        portfolio = self._begun.core.portfolio
        problem = self._unfit()
        if problem or portfolio.tip is None:
            self._not_saved(problem)
            return
        number, block = portfolio.tip
        if number == self.saved_number:
            return
        label = label_of(self._config, number, block)
        work = asyncio.to_thread(self._write, cut(portfolio), label)
        self._writing = asyncio.create_task(work, name="state file")
        try:
            # A run that ends lets a file be finished.
            await asyncio.shield(self._writing)
        except (StorageError, StateRefused) as error:
            self._not_saved(str(error))
            return
        self.saved_number = number
        fields = (("number", number), ("hash", block), ("positions", portfolio.positions.total))
        self._tell.lines.tell(Notice("state_saved", "info", fields))

    def _write(self, found: Cut, label: Label) -> None:
        write_state(self._places, found, label)
        prune(self._places)

    def _unfit(self) -> str:
        """Return why the state must not be begun from, "" where it may."""
        if not self.agreed:
            return "it was not compared with the chain yet"
        if self._tell.renewing():
            return "the run begins anew"
        for venue in self._begun.core.venues:
            if self._gates.halted(venue.name):
                return "venue_halted"
            if self._gates.doubted(venue.name) is not None or any(
                changes for _, changes in venue.tables.unread.items()
            ):
                return "what decides is in doubt"
        return ""

    def _not_saved(self, problem: str) -> None:
        self._tell.lines.tell(Notice("state_not_saved", "warning", (("problem", problem),)))
