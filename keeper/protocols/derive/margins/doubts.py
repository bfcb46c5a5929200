"""Which quotes may be acted on: the required ones' states and ages, and whose prices are doubted.

Must not know accounts or margin; states are those of `keeper.market.quotes`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from keeper.domain.units import Address
from keeper.margin.book import Flags
from keeper.market.opinions import Opinions
from keeper.market.quotes import Evidence, JudgeRule, Quote, QuoteState, Verdict, advance, judge
from keeper.protocols.derive.margins.accrual import Accrual
from keeper.protocols.derive.margins.model import Scene
from keeper.protocols.derive.tables import STATIC_SPOT, DeriveTables
from keeper.protocols.derive.wiring import NOWHERE


STABLE: Final = "stable"  # what a source calls the settlement currency
DATED: Final = ("forward", "vol", "rate")
NOT_BELIEVED: Final = (QuoteState.SUSPECT, QuoteState.HALTED)


class Judge:
    """One deployment's quotes at one timestamp, and what others say of the same prices."""

    def __init__(
        self, tables: DeriveTables, accrual: Accrual, opinions: Opinions, rule: JudgeRule
    ) -> None:
        self._tables = tables
        self._accrual = accrual
        self._opinions = opinions
        self._rule = rule
        self.now = accrual.now
        self.down = opinions.sequencer_down(accrual.now)

    @property
    def accrual(self) -> Accrual:
        """Return the state of the feeds that is judged."""
        return self._accrual

    def spot(self, feed: Address, about: str | None) -> Verdict:
        """Return what may be done on a spot feed; others are asked about `about`, if given."""
        rules, quote = self._tables.feeds.get(feed), self._quote(feed)
        aging = rules is not None and rules.kind != STATIC_SPOT
        evidence = Evidence(
            quote=quote,
            now=self.now,
            heartbeat_s=rules.heartbeat_s if aging and rules is not None else None,
            second=None if about is None else self._opinions.second(about, self.now),
            reference=(
                QuoteState.OK if about is None else self._opinions.reference(about, self.now)
            ),
            sequencer_down=self.down,
        )
        return judge(evidence, self._rule)

    def market(self, scene: Scene) -> tuple[QuoteState, QuoteState]:
        """Return the states of what stands behind every account of a manager: spot and stable."""
        manager = scene.manager
        spot = self.spot(manager.spot_feed, manager.underlying)
        return spot.state, self.spot(manager.stable_feed, STABLE).state

    def _quote(self, feed: Address) -> Quote | None:
        """Return a feed's quote as it stands, or as signed data would leave it."""
        row, seen = self._accrual.readings.spot_row(feed), self._tables.doubts.get(feed)
        if row is None or self._tables.feeds.get(feed) is None:
            return None
        if row.timestamp == 0:  # a static feed
            return Quote(row.price, row.confidence, self.now, row.price, 0)
        if seen is not None and seen.timestamp == row.timestamp:
            return seen._replace(value=row.price, confidence=row.confidence)
        rule = self._tables.config.rule
        return advance(seen, row.price, row.confidence, row.timestamp, rule)


def suspicion(tables: DeriveTables, scene: Scene, judge: Judge) -> tuple[bool, Flags]:
    """Return whether spot or stable is doubted, and which collaterals are, (instrument,)."""
    shape = scene.shape
    suspect = np.zeros(len(shape.instruments), np.bool_)
    for row, asset in zip(shape.base, shape.assets, strict=True):
        feed = tables.collateral_feeds.get((scene.address, asset))
        suspect[row] = feed is not None and judge.spot(feed, None).state in NOT_BELIEVED
    return any(state in NOT_BELIEVED for state in judge.market(scene)), suspect


def halted(scene: Scene, judge: Judge) -> bool:
    """Return whether nothing may be done in a manager's market: its price is none."""
    return judge.down or QuoteState.HALTED in judge.market(scene)


def quote_states(
    tables: DeriveTables, judge: Judge, scenes: Sequence[Scene]
) -> tuple[tuple[str, str], ...]:
    """Return (required quote, state) in configured order; one that nobody knows is STALE."""
    states = []
    for word, scene, quote in _required(tables, scenes):
        state = QuoteState.STALE
        if scene is not None and quote in READ:
            state = QuoteState.HALTED if judge.down else READ[quote](judge, scene)
        states.append((word, str(state)))
    return tuple(states)


def quote_ages(
    tables: DeriveTables, accrual: Accrual, scenes: Sequence[Scene]
) -> tuple[tuple[str, float], ...]:
    """Return (required quote, age over heartbeat) of those that can grow old.

    Of several expiries the oldest counts. A quote that was never posted has no age; its state says
    what is wrong.
    """
    ages = []
    for word, scene, quote in _required(tables, scenes):
        if scene is None:
            continue
        found = [
            (accrual.now - timestamp) / heartbeat_s
            for timestamp, heartbeat_s in _posted(tables, accrual, scene, quote)
            if timestamp > 0 and heartbeat_s > 0
        ]
        if found:
            ages.append((word, max(0.0, *found)))
    return tuple(ages)


def _required(
    tables: DeriveTables, scenes: Sequence[Scene]
) -> Iterator[tuple[str, Scene | None, str]]:
    """Return each required quote with its manager's scene and its kind."""
    known = {scene.manager.underlying: scene for scene in scenes}
    for word in tables.config.required_quotes:
        underlying, _, quote = word.rpartition(".")
        yield word, known.get(underlying), quote


def _posted(
    tables: DeriveTables, accrual: Accrual, scene: Scene, quote: str
) -> Iterator[tuple[int, int]]:
    """Return (timestamp, heartbeat) of every row behind a quote."""
    manager, readings = scene.manager, accrual.readings
    perp = tables.perps.get(manager.perp)
    feed = {
        "spot": manager.spot_feed,
        "stable": manager.stable_feed,
        "perp": NOWHERE if perp is None else perp.perp_feed,
        "forward": manager.forward_feed,
        "vol": manager.vol_feed,
        "rate": manager.rate_feed,
    }.get(quote, NOWHERE)
    rules = tables.feeds.get(feed)
    if rules is None:
        return
    coming = [expiry for expiry in scene.shape.expiries if expiry > accrual.now]
    for expiry in coming if quote in DATED else (0,):
        row = readings.row(rules.kind, feed, expiry)
        if row is not None:
            yield row.timestamp, rules.heartbeat_s


def _perp(judge: Judge, scene: Scene) -> QuoteState:
    perpetual = judge.accrual.perp(scene.manager.perp)
    if perpetual is None:
        return QuoteState.STALE
    return QuoteState.OK if perpetual.price > 0 else QuoteState.HALTED


def _forward(judge: Judge, scene: Scene) -> QuoteState:
    feed, readings = scene.manager.forward_feed, judge.accrual.readings
    return _dated(judge, scene, lambda expiry: readings.forward(feed, expiry))


def _vol(judge: Judge, scene: Scene) -> QuoteState:
    feed, readings = scene.manager.vol_feed, judge.accrual.readings
    return _dated(judge, scene, lambda expiry: readings.smile(feed, expiry))


def _rate(judge: Judge, scene: Scene) -> QuoteState:
    feed, readings = scene.manager.rate_feed, judge.accrual.readings
    return _dated(judge, scene, lambda expiry: readings.rate(feed, expiry))


def _dated(judge: Judge, scene: Scene, read: Callable[[int], object | None]) -> QuoteState:
    """Return STALE where a held expiry that is still to come cannot be read."""
    coming = (expiry for expiry in scene.shape.expiries if expiry > judge.now)
    return QuoteState.OK if all(read(expiry) is not None for expiry in coming) else QuoteState.STALE


READ: Final[dict[str, Callable[[Judge, Scene], QuoteState]]] = {
    "spot": lambda judge, scene: judge.market(scene)[0],
    "stable": lambda judge, scene: judge.market(scene)[1],
    "perp": _perp,
    "forward": _forward,
    "vol": _vol,
    "rate": _rate,
}
