"""A seeded market: spot paths with a crash in them, and the smiles and forwards that move along.

Pure numbers, floats in USD and years; it must not know contracts, nodes or the keeper. Chance comes
from one seed, so that the same seed plays the same market for ever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


YEAR_S = 31_536_000
DAY_S = 86_400
SETTLEMENT_WINDOW_S = 1_800


@dataclass(frozen=True)
class Smile:
    """Raw SVI of one expiry, with the forward and the years it was fitted at."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float
    forward: float
    years: float


@dataclass(frozen=True)
class ExpiryQuote:
    """One expiry at one moment: forward less spot (USD), smile, rate a year."""

    expiry: int
    forward_less_spot: float
    smile: Smile
    rate: float


@dataclass(frozen=True)
class UnderlyingQuote:
    """One underlying at one moment; the three differences are to spot, USD."""

    underlying: str
    spot: float
    perp_less_spot: float
    ask_less_spot: float
    bid_less_spot: float
    expiries: tuple[ExpiryQuote, ...]


@dataclass(frozen=True)
class Moment:
    """The whole market at one block's time."""

    timestamp: int
    underlyings: tuple[UnderlyingQuote, ...]


@dataclass(frozen=True)
class UnderlyingPlan:
    """Where an underlying starts, and how its options are quoted in quiet times."""

    underlying: str
    spot: float
    vol: float
    beta: float = 1.0  # its share of the crash
    rate: float = 0.05
    basis: float = 0.02  # annual premium of the forward over the rate


@dataclass(frozen=True)
class CrashPlan:
    """The shape of the path, in blocks and log-moves: calm, slide, gap, panic, rebound."""

    calm: int
    slide: int
    slide_move: float
    gap_move: float
    panic: int
    panic_move: float
    rebound_move: float
    vol_peak: float  # implied vols are multiplied by up to this
    noise: float = 0.0007  # standard deviation of a block's move in quiet times

    @property
    def gap(self) -> int:
        """The block of the gap, counted from 0: the last quiet moment before it is this one."""
        return self.calm + self.slide


def crash_plan(blocks: int) -> CrashPlan:
    """Return a crash that fits into `blocks`: -9 % sliding, -9 % in one block, -6 % in panic."""
    return CrashPlan(
        calm=max(8, blocks // 8),
        slide=max(10, blocks // 4),
        slide_move=-0.09,
        gap_move=-0.095,
        panic=max(6, blocks // 8),
        panic_move=-0.06,
        rebound_move=0.07,
        vol_peak=1.9,
    )


def moves(plan: CrashPlan, blocks: int, chance: np.random.Generator) -> np.ndarray:
    """Return the common log-move of each block, (block,)."""
    drift = np.zeros(blocks)
    slide_end = plan.calm + plan.slide
    panic_end = slide_end + 1 + plan.panic
    drift[plan.calm : slide_end] = plan.slide_move / plan.slide
    drift[slide_end : slide_end + 1] = plan.gap_move
    drift[slide_end + 1 : panic_end] = plan.panic_move / plan.panic
    rest = blocks - panic_end
    if rest > 0:
        drift[panic_end:] = plan.rebound_move / rest
    noise = np.where(np.arange(blocks) < plan.calm, 1.0, 2.5) * plan.noise
    noise[slide_end : slide_end + 1] = 0.0
    return drift + chance.normal(0.0, 1.0, blocks) * noise


def stress(plan: CrashPlan, blocks: int) -> np.ndarray:
    """Return how far panic has risen, 0..1 of the way to the vol peak, (block,)."""
    slide_end = plan.calm + plan.slide
    panic_end = slide_end + 1 + plan.panic
    level = np.zeros(blocks)
    for block in range(blocks):
        if block < plan.calm:
            continue
        if block < slide_end:
            level[block] = 0.3 * (block - plan.calm) / plan.slide
        elif block <= panic_end:
            level[block] = 0.65 + 0.35 * (block - slide_end) / (plan.panic + 1)
        else:
            level[block] = max(0.35, 1.0 - (block - panic_end) / max(1, blocks - panic_end))
    return level


def smile(vol: float, forward: float, years: float, skew: float) -> Smile:
    """Return a raw SVI whose variance at the forward is vol^2 x years; the wings stay positive."""
    years = max(years, 1.0 / 365 / 24)
    total = vol * vol * years
    width = max(0.1, 0.9 * vol * math.sqrt(years))
    return Smile(
        a=0.55 * total,
        b=0.45 * total / width,
        rho=skew,
        m=0.0,
        sigma=width,
        forward=forward,
        years=years,
    )


def play(
    seed: int,
    plans: tuple[UnderlyingPlan, ...],
    expiries: tuple[int, ...],
    start: int,
    step_s: int,
    blocks: int,
) -> list[Moment]:
    """Return the market at each block: `blocks` + 1 moments, the first at `start` undisturbed."""
    chance = np.random.default_rng(seed)
    plan = crash_plan(blocks)
    common = moves(plan, blocks, chance)
    panic = stress(plan, blocks)
    own = chance.normal(0.0, plan.noise, (blocks, len(plans)))
    spots = [each.spot for each in plans]
    moments = [_moment(start, plans, spots, expiries, 0.0, plan)]
    for block in range(blocks):
        for index, each in enumerate(plans):
            spots[index] *= math.exp(each.beta * common[block] + own[block, index])
        now = start + (block + 1) * step_s
        moments.append(_moment(now, plans, spots, expiries, float(panic[block]), plan))
    return moments


def _moment(
    now: int,
    plans: tuple[UnderlyingPlan, ...],
    spots: list[float],
    expiries: tuple[int, ...],
    panic: float,
    plan: CrashPlan,
) -> Moment:
    quotes = tuple(
        _quote(each, spot, tuple(e for e in expiries if e > now), now, panic, plan.vol_peak)
        for each, spot in zip(plans, spots, strict=True)
    )
    return Moment(now, quotes)


def _quote(
    plan: UnderlyingPlan,
    spot: float,
    expiries: tuple[int, ...],
    now: int,
    panic: float,
    vol_peak: float,
) -> UnderlyingQuote:
    perp = spot * (0.0004 - 0.004 * panic)  # in a crash perpetuals trade below spot
    lines = []
    for expiry in expiries:
        years = (expiry - now) / YEAR_S
        carry = plan.rate + plan.basis * (1.0 - 1.5 * panic)
        forward = spot * math.exp(carry * years)
        # Short expiries feel a panic most.
        rise = 1.0 + (vol_peak - 1.0) * panic * math.exp(-1.2 * years)
        fitted = smile(plan.vol * rise, forward, years, -0.25 - 0.3 * panic)
        lines.append(ExpiryQuote(expiry, forward - spot, fitted, plan.rate))
    return UnderlyingQuote(
        underlying=plan.underlying,
        spot=spot,
        perp_less_spot=perp,
        ask_less_spot=perp + spot * 0.0006,
        bid_less_spot=perp - spot * 0.0006,
        expiries=tuple(lines),
    )
