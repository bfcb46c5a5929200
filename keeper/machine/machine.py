"""The machine: `apply(entry) -> effects`, synchronous and deterministic.

Joins the pure rooms and passes arrays between them. Same parameters, same entries, same order:
same effects. It awaits nothing, reads no clock, draws no number and logs nothing; failures that
can be expected arrive as events, and it raises only InvariantViolation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter

from keeper.domain.effects import NOTHING, Assessment, Command, Effects, Notice
from keeper.domain.errors import InvariantViolation, UndecodableLog
from keeper.domain.events import (
    BlockSealed,
    ChainRewound,
    CommandRefused,
    Entry,
    Event,
    LaneObserved,
    OracleUpdated,
    PayloadReceived,
    PriceObserved,
    RoundObserved,
    RulesObserved,
    Started,
    StateAudited,
    TransactionDropped,
    TransactionIncluded,
    TransactionOrphaned,
    TransactionReverted,
)
from keeper.domain.logs import Logs
from keeper.domain.units import Address, Hash
from keeper.liquidation.outbox import Live
from keeper.liquidation.strategy import Strategy
from keeper.machine.assessing import assess
from keeper.machine.gates import Gates
from keeper.machine.pushing import Pushing
from keeper.machine.screening import Screens
from keeper.machine.serving import MachineParameters, Round, Serving
from keeper.portfolio.state import Portfolio
from keeper.venue import Margined, PushRefused, Venue


# Refusals that say nothing about the account: it may be decided again on the next block. A node
# that gave no answer, or had left the decided block, is no reason to let a breach stand.
NOT_THE_ACCOUNTS_FAULT = ("lane", "expired", "breaker")
NO_TRIAL = ("no_answer", "unknown_block", "no_data_fee")
# Its nonce was another command's in the end: nothing was done for the account, or against it.
NOT_SERVED = ("displaced", "outrun")
TAKEN_BACK = "cancelled"  # by ourselves, unused; after a deep reorg that may happen time and again
ENDED_REMEMBERED_MAX = 4096

_ADDRESS = attrgetter("address")


class Machine:
    """Folds entries into the portfolio and decides once a block."""

    def __init__(
        self,
        parameters: MachineParameters,
        portfolio: Portfolio,
        venues: Sequence[Venue],
        strategies: Mapping[str, Strategy],
        screens: Screens | None = None,
    ) -> None:
        self.parameters = parameters
        self.portfolio = portfolio
        self.venues = tuple(venues)
        self.serving = Serving(parameters, strategies)
        self.outbox = self.serving.outbox
        self.pushing = Pushing(self.serving)
        self.gates = Gates()
        self.screens = Screens() if screens is None else screens
        self.margined: dict[str, list[Margined]] = {}  # of the last decided block, by venue
        self.decided: tuple[int, Hash] | None = None  # the block `margined` is of
        self.lanes: dict[Address, LaneObserved] = {}
        self._venue_at: dict[Address, Venue] = {}
        self._watched: dict[str, tuple[Address, ...]] = {}
        self._ended: dict[int, Live] = {}
        self._notices: list[Notice] = []
        self._round: Round | None = None
        self._freed: Live | None = None

    def apply(self, entry: Entry) -> Effects:
        """Fold the entry and decide on it."""
        self.fold(entry)
        return self.decide(entry)

    def fold(self, entry: Entry) -> None:
        """Write what happened; decides nothing."""
        match entry.event:
            case BlockSealed() as block:
                self._fold_block(block)
            case ChainRewound() as rewound:
                self._rewind(rewound)
            case Started() as started:
                self.outbox.start_from(started.next_command_id)
            case LaneObserved() as lane:
                self.lanes[lane.lane] = lane
            case StateAudited() as audited:
                held = self.portfolio.undo.hash_at(audited.number)
                self.gates.audit(audited, standing=held in (None, audited.hash))
            case RulesObserved() as observed:
                self.gates.observe(observed, self._tip)
            case OracleUpdated() | PayloadReceived() | RoundObserved() | PriceObserved() as told:
                for venue in self.venues:
                    venue.hear(told)
            case event:
                self._fold_outcome(event)

    def decide(self, entry: Entry) -> Effects:
        """Return what is to be done and told after the fold of the same entry."""
        notices = self._drain()
        if not isinstance(entry.event, BlockSealed):
            return self._decide_held(notices)
        if not entry.event.at_tip:
            return Effects(notices=notices)
        return self._decide_block(entry.event, notices)

    def _decide_held(self, notices: tuple[Notice, ...]) -> Effects:
        """Serve an account that was only waiting for the end of its last command."""
        nothing = Effects(notices=notices) if notices else NOTHING
        freed, self._freed = self._freed, None
        if freed is None or self._round is None or self.gates.doubted(freed.venue) is not None:
            return nothing
        held = self._round.held.pop((freed.venue, freed.account), None)
        if held is None:
            return nothing
        venue, opportunity = held
        commands, more = self.serving.serve(venue, [opportunity], self._round)
        return Effects(tuple(commands), (*notices, *more))

    def _drain(self) -> tuple[Notice, ...]:
        for venue in self.venues:
            self._notices.extend(venue.notices())
        self._notices.extend(self.gates.notices())
        notices, self._notices = tuple(self._notices), []
        return notices

    @property
    def _tip(self) -> int:
        return self.portfolio.tip[0] if self.portfolio.tip is not None else 0

    # ── folding ──

    def _fold_block(self, block: BlockSealed) -> None:
        if block.chain_id != self.parameters.chain_id:
            raise InvariantViolation(f"a block of chain {block.chain_id} was posted")
        self._round = None
        tip = self.portfolio.tip
        if tip is not None and block.parent != tip[1]:
            raise InvariantViolation(f"block {block.number} does not stand on our tip {tip[0]}")
        self.portfolio.undo.begin(block.number, block.hash)
        self._notices.extend(self.serving.halt.observe(block.number, block.timestamp))
        self._route()
        for venue in self.venues:
            if not self.gates.halted(venue.name):
                self._fold_logs(venue, block)
        for venue in self.venues:
            for change in venue.moved():
                self.gates.doubt(venue.name, change, block.number)
        self.outbox.expire(block.number)

    def _fold_logs(self, venue: Venue, block: BlockSealed) -> None:
        """Hand a venue its logs of a block; one that does not decode halts it there."""
        its = {address for address, each in self._venue_at.items() if each is venue}
        logs = block.logs
        if isinstance(logs, Logs):
            logs = logs.of(its)
        elif not its.issuperset(map(_ADDRESS, logs)):
            logs = [log for log in logs if log.address in its]
        try:
            venue.fold_logs(logs, block)
        except UndecodableLog as error:
            self.gates.halt(venue.name, block, error)

    def _route(self) -> None:
        """Map addresses to venues anew where a venue's watch list has changed."""
        for venue in self.venues:
            watched = venue.watch()
            if self._watched.get(venue.name) != watched:
                self._watched[venue.name] = watched
                self._venue_at.update(dict.fromkeys(watched, venue))

    def _rewind(self, rewound: ChainRewound) -> None:
        self._round = None
        taken = self.portfolio.undo.rewind(rewound.number, rewound.hash)
        self.gates.rewind(rewound.number)
        self.serving.patience.rewind(rewound.number)
        self.serving.halt.rewind(rewound.number)
        self.pushing.rewind(rewound.number)
        fields = (("number", rewound.number), ("depth", taken))
        self._notices.append(Notice("rewound", "warning", fields))

    def _fold_outcome(self, event: Event) -> None:
        number = self._tip
        match event:
            case CommandRefused():
                live = self.outbox.close(event.command_id)
                self._tell_refusal(event, live)
                if _rests_after(event):
                    self._rest(live, number)
            case TransactionIncluded():
                live = self._end(event.command_id)
                if live is not None:
                    self.outbox.forgive(live)
                    # What the inclusion did is in our state only up to the tip.
                    self._freed = live if event.number <= number else None
            case TransactionReverted() | TransactionDropped():
                self._fold_failure(event, number)
            case TransactionOrphaned():
                live = self._ended.pop(event.command_id, None)
                if live is not None:
                    self.outbox.reopen(event.command_id, live)
            case _:
                pass  # commits, sends, passes and ticks move no state of ours

    def _tell_refusal(self, refused: CommandRefused, live: Live | None) -> None:
        """Let venues know; why a push was refused is about its own venue's data alone."""
        pushed = live is not None and live.account is None
        for venue in self.venues:
            if not pushed:
                venue.hear(refused)
            elif live is not None and live.venue == venue.name:
                venue.hear(PushRefused(refused.reason))

    def _fold_failure(self, event: TransactionReverted | TransactionDropped, number: int) -> None:
        live = self._end(event.command_id)
        if event.reason in NOT_SERVED:
            self._freed = live
        elif event.reason != TAKEN_BACK:
            self._rest(live, number)

    def _rest(self, live: Live | None, number: int) -> None:
        if live is not None:
            self.outbox.rest(live, number)

    def _end(self, command_id: int) -> Live | None:
        """Close a command, remembering it for as long as a reorg may bring it back."""
        live = self.outbox.close(command_id)
        if live is not None:
            self._ended[command_id] = live
            while len(self._ended) > ENDED_REMEMBERED_MAX:
                del self._ended[next(iter(self._ended))]
        return live

    # ── deciding ──

    def _decide_block(self, block: BlockSealed, notices: tuple[Notice, ...]) -> Effects:
        self.decided = (block.number, block.hash)
        self._round = self.serving.open_round(self.venues, block)
        commands: list[Command] = []
        assessments: list[Assessment] = []
        told = list(notices)
        for venue in self.venues:
            if self.gates.halted(venue.name):
                continue
            opportunities, self.margined[venue.name], assessment = assess(
                venue, block, self.screens
            )
            if self.gates.doubted(venue.name) is not None:
                assessments.append(assessment)
                continue
            pushed, news = self.pushing.decide(venue, self._round)
            decided, more = self.serving.serve(venue, opportunities, self._round)
            commands.extend((*pushed, *decided))
            told.extend((*news, *more))
            proposals = len(pushed) + len(decided)
            assessments.append(replace(assessment, proposals=proposals))
        return Effects(tuple(commands), tuple(told), tuple(assessments))


def _rests_after(refused: CommandRefused) -> bool:
    return refused.stage not in NOT_THE_ACCOUNTS_FAULT and refused.reason not in NO_TRIAL
