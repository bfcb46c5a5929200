"""The Dutch auction in plain Python: discount, prices, fractions (specification, section 4).

`mm` and `mtm` are the manager's, signed as on chain; R = `reserved` is the cash that bidders have
already paid in. Imports nothing of the keeper.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AuctionRules:
    """The auction's parameters; lengths in seconds, the rest fractions; cutoff in USD."""

    start: float
    fast_cutoff: float
    fast_seconds: float
    slow_seconds: float
    insolvent_seconds: float
    fee_rate: float
    buffer: float
    mtm_cutoff: float = 0.0


def buffer_margin(mm: float, mtm: float, rules: AuctionRules) -> float:
    """Return the margin with its buffer: what a solvent auction must restore."""
    return mm + (mm - mtm) * rules.buffer


def discount(elapsed: float, rules: AuctionRules) -> float:
    """Return the share of the value that a bidder pays `elapsed` seconds after the start."""
    if elapsed < rules.fast_seconds:
        return rules.start - (rules.start - rules.fast_cutoff) * elapsed / rules.fast_seconds
    slow = elapsed - rules.fast_seconds
    if slow < rules.slow_seconds:
        return rules.fast_cutoff * (1.0 - slow / rules.slow_seconds)
    return 0.0


def bid_price(mtm: float, reserved: float, elapsed: float, rules: AuctionRules) -> float:
    """Return the price of all that is left in a solvent auction; ValueError if R > mtm."""
    if reserved > mtm:
        raise ValueError("reserved cash is more than the account is worth")
    return (mtm - reserved) * discount(elapsed, rules)


def max_fraction(
    mtm: float, bm: float, discount_now: float, reserved: float, rules: AuctionRules
) -> float:
    """Return the largest fraction a solvent bid may take: it brings the rest's bm to zero."""
    if mtm < rules.mtm_cutoff:
        return 1.0
    bm = min(bm, 0.0)
    if bm == 0.0:
        return 0.0
    return bm / (bm - mtm * discount_now - reserved * (1.0 - discount_now))


def start_fee(mm: float, mtm: float, rules: AuctionRules) -> float:
    """Return what goes to the security module when a solvent auction starts."""
    bm = buffer_margin(mm, mtm, rules)
    return max_fraction(mtm, bm, 1.0, 0.0, rules) * mtm * rules.fee_rate


def insolvent_price(mm: float, mtm: float, elapsed: float, rules: AuctionRules) -> float:
    """Return the (negative) price of all of an insolvent account: its size is paid out."""
    if mm >= 0:
        return 0.0
    if elapsed >= rules.insolvent_seconds:
        return mm
    first = min(mtm, 0.0)
    return first + (mm - first) * elapsed / rules.insolvent_seconds


def can_terminate(
    mm: float, mtm: float, reserved: float, elapsed: float, insolvent: bool, rules: AuctionRules
) -> bool:
    """Return whether anyone may end the auction (and nobody may bid)."""
    if insolvent or elapsed > rules.fast_seconds + rules.slow_seconds:
        return mm >= 0
    if mtm < 0 or reserved >= mtm:
        return True
    return buffer_margin(mm, mtm, rules) >= 0


def cash_needed(
    mm: float,
    mtm: float,
    reserved: float,
    pct: float,
    price: float,
    insolvent: bool,
    rules: AuctionRules,
) -> float:
    """Return the cash a bidder must hold to take `pct` at `price` for all."""
    if insolvent:
        return abs(mm) * pct + price * pct
    return price * pct + abs(buffer_margin(mm, mtm, rules) - reserved) * pct
