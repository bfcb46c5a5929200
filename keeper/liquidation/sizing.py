"""How much to take: rules that give a share of an account, or legs of it, and nothing else.

Each is one rule of the trade as a pure function: full, close factor, largest fraction, by
inventory, by depth, by the leg that frees most margin per cost. A strategy combines them with
`smallest`: an auction of whole accounts wants the largest fraction and the inventory
(`strategies.dutch_auction`); close factor, depth and legs are for venues that lend, or that let
single positions be closed, where collateral is chosen and debt is repaid in part. Shares are of
the account as it stands, 0..1; money is USD. Floats decide what to ask for: a price limit and the
guard stand between them and the chain.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from keeper.domain.errors import InvariantViolation
from keeper.liquidation.mechanisms.dutch_auction import Auction


def full() -> float:
    """Return all of it."""
    return 1.0


def by_close_factor(health: float, factor: float, full_below: float) -> float:
    """Return the share of a debt that one call may repay: `factor`, or all of a sick enough one.

    Source: lending venues close a fixed share while the health factor (collateral that counts over
    debt; below 1 is a breach) is above `full_below`, and everything beneath. A healthy account, or
    one of unknown health, gives nothing.
    """
    if not 0.0 < factor <= 1.0:
        raise InvariantViolation(f"a close factor of {factor}")
    if not health < 1.0:
        return 0.0
    return 1.0 if health <= full_below else factor


def by_largest_fraction(auction: Auction, at_s: int) -> float:
    """Return fmax: what brings the buffered margin of the rest to nothing."""
    return auction.fraction_max(at_s)


def by_inventory(cash_for_all_usd: float, cash_usd: float) -> float:
    """Return the share that our cash can carry, given the cash that 100 % asks for.

    What asks for no cash at all is carried whole, whatever we have; an amount that is not a number
    not at all.
    """
    if math.isnan(cash_for_all_usd):
        return 0.0
    if cash_for_all_usd <= 0.0:
        return 1.0
    return min(1.0, max(0.0, cash_usd) / cash_for_all_usd)


class Depth(NamedTuple):
    """A position to be taken over and what the market takes of it at a slippage we accept.

    Both in the instrument's own unit; the sign of `quantity` does not matter.
    """

    instrument: int
    quantity: float
    depth: float


def by_depth(legs: Sequence[Depth]) -> float:
    """Return the share whose every leg the market can take: its narrowest leg decides.

    A depth that is not a number is no depth.
    """
    share = 1.0
    for leg in legs:
        quantity = abs(leg.quantity)
        if quantity > 0.0:
            # In this order of arguments a NaN comes out as 0.0.
            share = min(share, max(0.0, leg.depth) / quantity)
    return share


def smallest(shares: Sequence[float], least: float = 0.0) -> float:
    """Return the share that all rules allow; 0 where it is under `least` or not a number."""
    share = min(shares, default=0.0)
    if not all(each >= 0.0 for each in shares) or share < least:
        return 0.0
    return min(share, 1.0)


class Leg(NamedTuple):
    """One position of an account that could be closed.

    `frees_usd` is by how much the excess grows if all of it is closed, `costs_usd` what closing
    costs: slippage, fees, penalty. `step` is the least part of it that can be closed (a lot).
    """

    instrument: int
    quantity: float
    frees_usd: float
    costs_usd: float
    step: float = 0.0


class Cut(NamedTuple):
    """How much of one leg to close, in the leg's unit, with its sign."""

    instrument: int
    quantity: float
    frees_usd: float
    costs_usd: float


def by_leg(legs: Sequence[Leg], needed_usd: float) -> list[Cut]:
    """Return which legs to close, and how much, to free `needed_usd`: the best value first.

    Greedy by margin freed per dollar of cost, which is the optimum where parts of legs may be
    closed (the fractional knapsack) and margin is freed in proportion; ties go to the lower
    instrument. The last leg is cut to what is still needed, up to a whole step. Legs that free
    nothing are never closed. All of them together may free less than needed.
    """
    if not needed_usd > 0.0:
        return []
    useful = [leg for leg in legs if leg.frees_usd > 0.0 and leg.quantity != 0.0]
    cuts: list[Cut] = []
    left = needed_usd
    for leg in sorted(useful, key=_worth):
        share = _stepped(min(1.0, left / leg.frees_usd), leg)
        cuts.append(
            Cut(
                leg.instrument,
                leg.quantity * share,
                leg.frees_usd * share,
                leg.costs_usd * share,
            )
        )
        if left <= leg.frees_usd:
            break  # what is left after this is dust of rounding, not worth another leg
        left -= leg.frees_usd
    return cuts


def best_leg(legs: Sequence[Leg]) -> Leg | None:
    """Return the leg that frees most margin per cost, None where none frees any."""
    useful = [leg for leg in legs if leg.frees_usd > 0.0 and leg.quantity != 0.0]
    return min(useful, key=_worth, default=None)


def _worth(leg: Leg) -> tuple[float, int]:
    # A leg that costs nothing, or pays, comes before all that cost.
    cost = max(leg.costs_usd, 0.0)
    return (cost / leg.frees_usd, leg.instrument)


def _stepped(share: float, leg: Leg) -> float:
    """Return the share rounded up to whole steps, never past all of it."""
    quantity = abs(leg.quantity)
    if leg.step <= 0.0 or share >= 1.0:
        return share
    # A hair less than whole steps is whole steps: a float's last bit must not close another lot.
    steps = max(1, math.ceil(share * quantity / leg.step - 1e-9))
    return min(1.0, steps * leg.step / quantity)
