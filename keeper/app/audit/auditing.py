"""The shadow check: a sample of our figures beside the chain's own views, block after block.

A round asks about the newest decided block, whose figures are copied first: the machine moves on
meanwhile. While decisions are stopped everybody is asked, batch after batch, until all have agreed
since. It works beside the loop of decisions: after one it waits, so that its commands come first.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from keeper.app.assembly import Core, contracts
from keeper.app.audit.inquiry import Block, Found, Inquiry, Witness
from keeper.app.audit.roster import NEVER, Roster
from keeper.app.audit.rules import RulesWatch
from keeper.app.links import Links
from keeper.chain.link.budget import WEIGHTS, Bucket
from keeper.chain.link.reader import NodeReader
from keeper.config import AuditSection, Config
from keeper.domain.effects import Notice
from keeper.domain.errors import KeeperError
from keeper.domain.events import BlockSealed, ChainRewound, Entry, RulesObserved, StateAudited
from keeper.domain.units import NS_PER_S, Hash
from keeper.machine import compute
from keeper.ports import Clock, Post
from keeper.protocols.derive.derive import Derive
from keeper.protocols.derive.views.audit import Question, count_question, question
from keeper.telemetry.metrics import Metrics


WEIGHT_AN_ACCOUNT: Final = 4 * WEIGHTS["eth_call"]
BURST_S: Final = 10  # seconds of weight that a quiet time saves up


class Renewing(Protocol):
    """What asks for a run from a new snapshot."""

    @property
    def reason(self) -> str:
        """Return why one was asked for, "" while none was."""

    def ask(self, reason: str) -> None:
        """Ask for one."""


@dataclass(slots=True)
class AuditStatus:
    """For metrics; `agreed_blocks` is how long ago everybody had last agreed."""

    rounds: int = 0
    asked: int = 0
    unanswered: int = 0
    drift_max: float = 0.0
    doubts: int = 0
    agreed_blocks: int = 0
    busy_ns: int = 0


class Sample(NamedTuple):
    """One round: the block it is of, and what is asked of it."""

    block: Block
    everybody: int
    questions: list[Question]


class Standing:
    """What an auditor remembers of one venue."""

    def __init__(self, looked: int) -> None:
        self.roster = Roster()
        self.looked = looked  # the block its rules were last looked at
        self.doubted = False  # as far as the rules have been looked at for it


class Auditor:
    """A `Source` of StateAudited and RulesObserved; `heard` wakes it."""

    def __init__(
        self,
        core: Core,
        rule: AuditSection,
        clock: Clock,
        block_time_ms: int,
        inquiry: Inquiry,
        rules: RulesWatch,
        renewal: Renewing,
    ) -> None:
        self.status = AuditStatus()
        self._core = core
        self._rule = rule
        self._clock = clock
        # On a fast chain a long wait would see no block that is still the newest.
        self.quiet_s = min(rule.quiet_ms, block_time_ms // 4) / 1_000
        self.inquiry = inquiry
        self._rules = rules
        self._renewal = renewal
        self._budget = Bucket(rule.weight_per_s, max(1, rule.weight_per_s * BURST_S))
        self._woken = asyncio.Event()
        tip = core.portfolio.tip
        self._first = tip[0] if tip is not None else 0
        self._standing = {venue.name: Standing(self._first) for venue in core.venues}

    def heard(self, entry: Entry) -> None:
        """See an applied entry: wake for what may need an audit."""
        event = entry.event
        if isinstance(event, ChainRewound):
            for standing in self._standing.values():
                standing.roster.forget_after(event.number)
        if isinstance(event, BlockSealed | RulesObserved):
            self._woken.set()

    async def run(self, post: Post) -> None:
        """Audit until cancelled; what changes of the rules is told from the snapshot on."""
        tip = self._core.portfolio.tip
        assert tip is not None, "an auditor needs a loaded snapshot"
        for venue in self._core.venues:
            await self._rules.look(venue, tip[1])
        while True:
            await self._woken.wait()
            if all(self._since(venue) is None for venue in self._core.venues):
                await asyncio.sleep(self.quiet_s)
            self._woken.clear()
            for venue in self._core.venues:
                await self._attend(venue, post)
            self._measure()

    def _since(self, venue: Derive) -> int | None:
        return self._core.machine.gates.since(venue.name)

    def _decided(self) -> tuple[int, Hash] | None:
        """Return the block our figures are of, None where the tables have moved on."""
        decided = self._core.machine.decided
        return decided if decided == self._core.portfolio.tip else None

    async def _attend(self, venue: Derive, post: Post) -> None:
        """Look at a venue's rules where it is time, and hold one round, or one after another."""
        await self._look(venue, post)
        sample = self._draw(venue)
        while sample is not None:
            gained = await self._round(venue, sample, post)
            stopped = self._since(venue) is not None
            sample = self._draw(venue) if gained and stopped else None

    async def _look(self, venue: Derive, post: Post) -> None:
        """Look at the rules every so many blocks, and as soon as anything was doubted."""
        decided, standing = self._decided(), self._standing[venue.name]
        doubted = self._since(venue) is not None
        newly, standing.doubted = doubted and not standing.doubted, doubted
        if decided is None:
            standing.doubted = standing.doubted and not newly
            return
        if not newly and decided[0] - standing.looked < self._rule.rules_every_blocks:
            return
        standing.looked = decided[0]
        look = await self._rules.look(venue, decided[1])
        for change in look.changes:
            post(change)
        if look.unread:
            self._renewal.ask(f"rules: {look.unread}")

    # ── who is asked ──

    def _draw(self, venue: Derive) -> Sample | None:
        """Copy what we say now of those whose turn it is; None where there is nothing to ask."""
        began_ns = self._clock.monotonic_ns()
        decided, machine = self._decided(), self._core.machine
        margined = machine.margined.get(venue.name)
        halted = machine.gates.halted(venue.name)
        if decided is None or margined is None or halted or self._renewal.reason:
            return None
        roster, since = self._standing[venue.name].roster, self._since(venue)
        roster.meet(margined)
        if since is None:
            near, turns = self._shares(len(roster))
            places = [*roster.nearest(margined, near), *roster.turn(turns)]
            if not places:
                return None
        else:
            places = roster.turn(self._rule.accounts_at_once, since)
        questions, places = [count_question(venue.tables)], list(dict.fromkeys(places))
        for number, each in enumerate(margined):
            compute(each, [row for book, row in places if book == number])
        for book, row in places:
            questions.append(question(venue.tables, margined[book], row))
        self.status.busy_ns += self._clock.monotonic_ns() - began_ns
        return Sample(Block(*decided), len(roster), questions)

    def _shares(self, everybody: int) -> tuple[int, int]:
        """Return how many are asked for being near the line, and how many in turn."""
        near = self._rule.accounts_per_block // 2
        due = -(-everybody // self._rule.full_every_blocks)
        turns = max(self._rule.accounts_per_block - near, due)
        now_ns = self._clock.monotonic_ns()
        while near + turns and self._budget.wait_s((near + turns) * WEIGHT_AN_ACCOUNT, now_ns) > 0:
            near, turns = near // 2, turns // 2
        self._budget.take((near + turns) * WEIGHT_AN_ACCOUNT)
        return near, turns

    # ── a round ──

    async def _round(self, venue: Derive, sample: Sample, post: Post) -> bool:
        """Ask, and post what came of it; True where another batch would gain more."""
        found = await self.inquiry.ask(sample.questions, sample.block)
        began_ns = self._clock.monotonic_ns()
        status, roster = self.status, self._standing[venue.name].roster
        answered = sum(each is not None for each in found)
        status.rounds += 1
        status.asked += answered
        status.unanswered += len(found) - answered
        apart = [each for differences in found for each in differences or ()]
        for each in apart:
            roster.differ(each.account)
        agreed = self._agreed(sample, found)
        roster.agree(agreed, sample.block.number)
        gained = False
        if answered:
            audited = self._outcome(venue, sample, found)
            post(audited)
            gained = bool(agreed) and not apart and not audited.full
        status.busy_ns += self._clock.monotonic_ns() - began_ns
        return gained

    def _agreed(self, sample: Sample, found: list[Found]) -> list[int]:
        """Return the accounts that agreed, at a block that is still on our branch."""
        if self._core.portfolio.undo.hash_at(sample.block.number) != sample.block.hash:
            return []
        asked = zip(sample.questions, found, strict=True)
        return [each.account for each, differences in asked if each.account and differences == []]

    def _outcome(self, venue: Derive, sample: Sample, found: list[Found]) -> StateAudited:
        """Return the event: drift, or everybody's agreement, or the sample's."""
        name, block = venue.name, sample.block
        asked = zip(sample.questions, found, strict=True)
        accounts = sum(1 for each, known in asked if each.account and known is not None)
        apart = [each for differences in found for each in differences or ()]
        if apart:
            self.status.drift_max = max(self.status.drift_max, *(each.relative for each in apart))
            more = f" (and {len(apart) - 1} more)" if len(apart) > 1 else ""
            return StateAudited(name, *block, accounts, False, f"{apart[0]}{more}")
        roster, since = self._standing[name].roster, self._since(venue)
        complete = None not in found
        if complete and since is not None and roster.oldest >= since:
            # What all of them prove is the oldest agreement's.
            known = self._core.portfolio.undo.hash_at(roster.oldest) or block.hash
            return StateAudited(name, roster.oldest, known, len(roster), True, "")
        return StateAudited(name, *block, accounts, complete and accounts == sample.everybody, "")

    def _measure(self) -> None:
        tip, venues = self._core.portfolio.tip, self._core.venues
        self.status.doubts = sum(self._since(venue) is not None for venue in venues)
        number = tip[0] if tip is not None else 0
        oldest = [self._standing[venue.name].roster.oldest for venue in venues]
        ages = [number - (self._first if each == NEVER else each) for each in oldest]
        self.status.agreed_blocks = max(ages, default=0)


def auditor_of(
    config: Config,
    clock: Clock,
    links: Links,
    core: Core,
    renewal: Renewing,
    tell: Callable[[Notice], None],
) -> Auditor:
    """Return the auditor of a run whose snapshot is loaded; it asks every endpoint that reads."""

    def witnesses() -> list[Witness]:
        readers = links.pool.readers()
        return [Witness(each.name, NodeReader(each, config.reader)) for each in readers]

    def report(word: str, error: KeeperError) -> None:
        tell(Notice(f"{word}_unanswered", "warning", (("problem", str(error)),)))

    inquiry = Inquiry(witnesses, tell, config.audit.call_gas)
    extra = [address for _, address in contracts(config)]
    rules = RulesWatch(NodeReader(links.read, config.reader), extra, report)
    block_time_ms = config.chain.block_time_ms
    return Auditor(core, config.audit, clock, block_time_ms, inquiry, rules, renewal)


def watch_audit(metrics: Metrics, auditor: Auditor) -> None:
    """Show at each scrape what the auditor has seen."""
    status, inquiry = auditor.status, auditor.inquiry
    for name, text, read in (
        ("audit_rounds", "Rounds of the shadow check.", lambda: status.rounds),
        ("audit_answers", "Questions about accounts that were answered.", lambda: status.asked),
        ("audit_unanswered", "Questions that nobody answered.", lambda: status.unanswered),
        ("audit_disputed", "Differences that another endpoint denied.", lambda: inquiry.disputed),
        ("audit_drift_max", "Largest difference, of gross notional.", lambda: status.drift_max),
        ("audit_doubts", "Venues whose decisions are stopped.", lambda: status.doubts),
        ("audit_age_blocks", "Blocks since all had last agreed.", lambda: status.agreed_blocks),
        ("audit_busy_seconds", "Time the loop was held.", lambda: status.busy_ns / NS_PER_S),
    ):
        metrics.watch(name, text, read)
