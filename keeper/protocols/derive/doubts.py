"""Which quotes may be acted on: the required ones' states, and whose prices are doubted.

Must not know accounts or margin; states are those of `keeper.market.quotes`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from keeper.domain.units import Address
from keeper.margin.book import Flags
from keeper.market.quotes import QuoteState
from keeper.protocols.derive.accrual import Accrual
from keeper.protocols.derive.model import Scene
from keeper.protocols.derive.tables import DeriveTables


def suspicion(tables: DeriveTables, scene: Scene) -> tuple[bool, Flags]:
    """Return whether spot or stable is doubted, and which collaterals are, (instrument,)."""
    manager, shape = scene.manager, scene.shape
    suspect = np.zeros(len(shape.instruments), np.bool_)
    for row, asset in zip(shape.base, shape.assets, strict=True):
        feed = tables.collateral_feeds.get((scene.address, asset))
        suspect[row] = feed is not None and _doubted(tables, feed)
    everywhere = _doubted(tables, manager.spot_feed) or _doubted(tables, manager.stable_feed)
    return everywhere, suspect


def quote_states(
    tables: DeriveTables, accrual: Accrual, scenes: Sequence[Scene]
) -> tuple[tuple[str, str], ...]:
    """Return (required quote, state) in configured order; one that nobody knows is STALE."""
    known = {scene.manager.underlying: scene for scene in scenes}
    states = []
    for word in tables.config.required_quotes:
        underlying, _, quote = word.rpartition(".")
        scene, state = known.get(underlying), QuoteState.STALE
        if scene is not None and quote in READ:
            state = READ[quote](tables, accrual, scene)
        states.append((word, str(state)))
    return tuple(states)


def _spot(tables: DeriveTables, accrual: Accrual, scene: Scene) -> QuoteState:
    return _spot_state(tables, accrual, scene.manager.spot_feed)


def _stable(tables: DeriveTables, accrual: Accrual, scene: Scene) -> QuoteState:
    return _spot_state(tables, accrual, scene.manager.stable_feed)


def _spot_state(tables: DeriveTables, accrual: Accrual, feed: Address) -> QuoteState:
    reading = accrual.readings.spot(feed)
    if reading is None:
        return QuoteState.STALE
    if reading.value <= 0:
        return QuoteState.HALTED
    return QuoteState.SUSPECT if _doubted(tables, feed) else QuoteState.OK


def _perp(_: DeriveTables, accrual: Accrual, scene: Scene) -> QuoteState:
    perpetual = accrual.perp(scene.manager.perp)
    if perpetual is None:
        return QuoteState.STALE
    return QuoteState.OK if perpetual.price > 0 else QuoteState.HALTED


def _forward(_: DeriveTables, accrual: Accrual, scene: Scene) -> QuoteState:
    feed = scene.manager.forward_feed
    return _dated(accrual, scene, lambda expiry: accrual.readings.forward(feed, expiry))


def _vol(_: DeriveTables, accrual: Accrual, scene: Scene) -> QuoteState:
    feed = scene.manager.vol_feed
    return _dated(accrual, scene, lambda expiry: accrual.readings.smile(feed, expiry))


def _rate(_: DeriveTables, accrual: Accrual, scene: Scene) -> QuoteState:
    feed = scene.manager.rate_feed
    return _dated(accrual, scene, lambda expiry: accrual.readings.rate(feed, expiry))


def _dated(accrual: Accrual, scene: Scene, read: Callable[[int], object | None]) -> QuoteState:
    """Return STALE where a held expiry that is still to come cannot be read."""
    coming = (expiry for expiry in scene.shape.expiries if expiry > accrual.now)
    return QuoteState.OK if all(read(expiry) is not None for expiry in coming) else QuoteState.STALE


def _doubted(tables: DeriveTables, feed: Address) -> bool:
    quote = tables.doubts.get(feed)
    return quote is not None and quote.jumped_at != 0


READ: Final[dict[str, Callable[[DeriveTables, Accrual, Scene], QuoteState]]] = {
    "spot": _spot,
    "stable": _stable,
    "perp": _perp,
    "forward": _forward,
    "vol": _vol,
    "rate": _rate,
}
