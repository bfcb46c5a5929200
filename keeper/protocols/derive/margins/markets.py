"""Quotes into margin's market: what every instrument of a manager is worth in a block, or not.

An instrument is unusable exactly where the chain's own read of it would revert. Must not know
accounts.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from keeper.domain.units import Address, from_wad
from keeper.margin.book import Flags, Floats, Kind, Market
from keeper.margin.pricing import Svi, svi_vol
from keeper.protocols.derive.margins.accrual import Accrual
from keeper.protocols.derive.margins.readings import Readings
from keeper.protocols.derive.margins.shape import Shape
from keeper.protocols.derive.tables import DeriveTables, ManagerRow, VolRow
from keeper.protocols.derive.wiring import NOWHERE


@dataclass(frozen=True, slots=True)
class _Dated:
    """The columns of the expiries, one row each: see `Market`."""

    fixed: Floats
    variable: Floats
    rate: Floats
    confidence: Floats
    readable: Flags


def market_of(
    tables: DeriveTables,
    accrual: Accrual,
    manager: tuple[Address, ManagerRow],
    shape: Shape,
) -> Market:
    """Return the market of one manager; spot and stable are 0.0 where they cannot be read.

    A spot or stable of 0.0 leaves every account undefined, as the chain does: it reads both first.
    """
    (address, row), readings = manager, accrual.readings
    perpetual = accrual.perp(row.perp)
    spot, stable = readings.spot(row.spot_feed), readings.spot(row.stable_feed)
    dated = _dated(readings, row, shape)
    vol = _vols(readings, row, shape)
    price, confidence, base_readable = _collateral(tables, readings, address, shape)
    kind, expiry = shape.listing.kind, shape.listing.expiry
    usable = np.zeros(len(kind), np.bool_)
    option = kind <= Kind.PUT
    usable[option] = dated.readable[expiry[option]] & np.isfinite(vol[option])
    usable[kind == Kind.PERPETUAL] = perpetual is not None
    usable[kind == Kind.BASE] = base_readable
    return Market(
        listing=shape.listing,
        seconds=np.array([max(0, each - readings.now) for each in shape.expiries], np.float64),
        forward_fixed=dated.fixed,
        forward_variable=dated.variable,
        rate=dated.rate,
        expiry_confidence=dated.confidence,
        spot=np.array([from_wad(spot.value) if spot else 0.0]),
        spot_confidence=np.array([from_wad(spot.confidence) if spot else 0.0]),
        perp_price=np.array([from_wad(perpetual.price) if perpetual else 0.0]),
        perp_confidence=np.array([from_wad(perpetual.confidence) if perpetual else 0.0]),
        stable=from_wad(stable.value) if stable else 0.0,
        vol=np.where(usable, vol, 0.0),
        price=price,
        confidence=confidence,
        usable=usable,
    )


def refusing(market: Market) -> Market:
    """Return the market on which no account has a margin: the chain reverts for its holders."""
    return replace(market, stable=0.0)


def enabled_under(tables: DeriveTables, market: Market, shape: Shape, lib: Address) -> Market:
    """Return the market with the collaterals that a lib does not take made unusable."""
    usable = market.usable.copy()
    for row, asset in zip(shape.base, shape.assets, strict=True):
        rules = tables.collaterals.get((lib, asset))
        usable[row] &= rules is not None and rules.enabled
    return replace(market, usable=usable)


def _dated(readings: Readings, manager: ManagerRow, shape: Shape) -> _Dated:
    count = len(shape.expiries)
    fixed, variable, rate, confidence = np.zeros((4, count))
    readable = np.zeros(count, np.bool_)
    for index, expiry in enumerate(shape.expiries):
        forward = readings.forward(manager.forward_feed, expiry)
        interest = readings.rate(manager.rate_feed, expiry)
        smile = readings.smile(manager.vol_feed, expiry)
        if forward is None or interest is None or smile is None:
            continue
        readable[index] = True
        fixed[index], variable[index] = from_wad(forward.fixed), from_wad(forward.variable)
        rate[index] = from_wad(max(0, interest.value))
        least = min(forward.confidence, interest.confidence, smile.confidence)
        confidence[index] = from_wad(least)
    return _Dated(fixed, variable, rate, confidence, readable)


def _vols(readings: Readings, manager: ManagerRow, shape: Shape) -> Floats:
    """Return each option's implied volatility, NaN where the chain has none, 0.0 for the rest."""
    listing = shape.listing
    vol = np.zeros(len(listing.kind))
    for index, expiry in enumerate(shape.expiries):
        smile = readings.smile(manager.vol_feed, expiry)
        here = listing.expiry == index
        vol[here] = math.nan if smile is None else _smile_vol(smile, listing.strike[here])
    return vol


def _smile_vol(row: VolRow, strike: Floats) -> Floats:
    smile = Svi(
        a=from_wad(row.a),
        b=from_wad(row.b),
        rho=from_wad(row.rho),
        m=from_wad(row.m),
        sigma=from_wad(row.sigma),
        forward=from_wad(row.forward),
        tau=from_wad(row.tau),
    )
    # Where the fit itself is nonsense the chain reverts, except at strike zero, which it skips.
    if smile.tau <= 0.0 or smile.forward <= 0.0 or smile.a + smile.b * smile.sigma < 0.0:
        return np.where(strike == 0.0, 0.0, math.nan)
    return svi_vol(smile, strike)


def _collateral(
    tables: DeriveTables, readings: Readings, manager: Address, shape: Shape
) -> tuple[Floats, Floats, Flags]:
    """Return price and confidence, (instrument,), and which BASE instruments have them, (base,)."""
    price, confidence = np.zeros((2, len(shape.instruments)))
    readable = np.zeros(len(shape.base), np.bool_)
    for index, (row, asset) in enumerate(zip(shape.base, shape.assets, strict=True)):
        feed = tables.collateral_feeds.get((manager, asset)) or NOWHERE
        quote = readings.spot(feed)
        if quote is not None:
            readable[index] = True
            price[row], confidence[row] = from_wad(quote.value), from_wad(quote.confidence)
    return price, confidence, readable
