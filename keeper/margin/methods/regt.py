"""Reg T and Cboe strategy-based margin: legs are matched into strategies, each has its rule.

Exact, by our own matching operator. Sources: Cboe margin manual; tastyware margin-estimator's
tests (with its double count of multi-lot strangles left out); Federal Reserve Regulation T.
USD; one contract is 100 shares; quantities signed.
"""

import math
from dataclasses import dataclass, replace

from keeper.margin.errors import BadShape, finite, not_negative, positive


CONTRACT = 100.0
LONG_TERM_DAYS = 270
LONG_TERM_SHARE = 0.75
INITIAL_STOCK = 0.5


@dataclass(frozen=True, slots=True)
class Underlying:
    """What the options are on; `leverage` of a leveraged fund."""

    price: float
    broad: bool = False
    leverage: float = 1.0

    def __post_init__(self) -> None:
        positive("underlying.price", self.price)
        positive("underlying.leverage_factor", self.leverage)

    @property
    def rate(self) -> float:
        """Return the share of the price a short option keeps before it is out of the money."""
        return 0.15 if self.broad else 0.20


@dataclass(frozen=True, slots=True)
class OptionLeg:
    """Contracts of one option; days from the trade date to expiry."""

    call: bool
    strike: float
    days: float
    price: float
    quantity: float

    def __post_init__(self) -> None:
        positive("leg.strike", self.strike)
        not_negative("leg.expiration", self.days)
        not_negative("leg.price", self.price)
        finite("leg.quantity", self.quantity)

    @property
    def premium(self) -> float:
        """Return the premium of all contracts, USD."""
        return CONTRACT * abs(self.quantity) * self.price


@dataclass(frozen=True, slots=True)
class SharesLeg:
    """Shares, signed, at their own price."""

    quantity: float
    price: float

    def __post_init__(self) -> None:
        finite("shares.quantity", self.quantity)
        positive("shares.price", self.price)


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a margin account and a cash account must hold, USD."""

    margin: float
    cash: float

    def plus(self, other: "Requirement") -> "Requirement":
        """Return both together."""
        return Requirement(self.margin + other.margin, self.cash + other.cash)


NOTHING = Requirement(0.0, 0.0)


def require(
    options: tuple[OptionLeg, ...], shares: SharesLeg | None, underlying: Underlying
) -> Requirement:
    """Return the requirement of one underlying's legs as the rules match them.

    Shares cover first; then shorts without longs are strangles; longs that outlive the shorts
    make a defined risk where it is bounded, else long and short legs pair up; a long that
    expires first covers nothing.
    """
    total = NOTHING
    rest = tuple(leg for leg in options if leg.quantity != 0.0)
    if shares is not None and shares.quantity != 0.0:
        value = abs(shares.quantity) * shares.price
        long = shares.quantity > 0.0
        total = Requirement(
            INITIAL_STOCK * value if long else (1.0 + INITIAL_STOCK) * value,
            value if long else 0.0,
        )
        rest = _uncovered(rest, shares.quantity)
    longs = tuple(leg for leg in rest if leg.quantity > 0.0)
    shorts = tuple(leg for leg in rest if leg.quantity < 0.0)
    if not shorts or not longs:
        return total.plus(_shorts(shorts, underlying)).plus(_singles(longs, underlying))
    if min(leg.days for leg in longs) < max(leg.days for leg in shorts):
        return total.plus(_singles(rest, underlying))
    if sum(leg.quantity for leg in rest if leg.call) >= 0.0:
        risk = defined_risk(rest)
        return total.plus(Requirement(risk, risk))
    return total.plus(_paired(longs, shorts, underlying))


def single(leg: OptionLeg, underlying: Underlying) -> Requirement:
    """Return one leg's requirement on its own."""
    if leg.quantity > 0.0:
        share = LONG_TERM_SHARE if leg.days > LONG_TERM_DAYS else 1.0
        return Requirement(share * leg.premium, leg.premium)
    price, size = underlying.price, CONTRACT * abs(leg.quantity)
    out = max(0.0, leg.strike - price) if leg.call else max(0.0, price - leg.strike)
    least = 0.1 * underlying.leverage * (price if leg.call else leg.strike)
    kept = max(underlying.rate * underlying.leverage * price - out, least)
    backed = price if leg.call and not underlying.broad else leg.strike
    return Requirement(leg.premium + size * kept, size * (backed - leg.price))


def defined_risk(legs: tuple[OptionLeg, ...]) -> float:
    """Return the worst loss as if all legs expired together, net of premium; net calls >= 0."""
    if sum(leg.quantity for leg in legs if leg.call) < 0.0:
        raise BadShape("legs", len(legs), "pass a book whose loss is bounded above")
    points = (0.0, *(leg.strike for leg in legs))
    worst = min(sum(_payoff(leg, point) for leg in legs) for point in points)
    paid = math.fsum(math.copysign(leg.premium, leg.quantity) for leg in legs)
    return CONTRACT * max(0.0, -worst) + paid


def stock_initial(shares: float, price: float) -> float:
    """Return the Reg T initial requirement of a stock position."""
    return INITIAL_STOCK * abs(finite("shares", shares)) * positive("price", price)


def _payoff(leg: OptionLeg, price: float) -> float:
    inner = max(0.0, price - leg.strike) if leg.call else max(0.0, leg.strike - price)
    return leg.quantity * inner


def _singles(legs: tuple[OptionLeg, ...], underlying: Underlying) -> Requirement:
    total = NOTHING
    for leg in legs:
        total = total.plus(single(leg, underlying))
    return total


def _uncovered(options: tuple[OptionLeg, ...], shares: float) -> tuple[OptionLeg, ...]:
    """Return the legs left when shares have covered short calls, or short shares puts."""
    room = abs(shares) / CONTRACT
    left = []
    for leg in options:
        covers = leg.quantity < 0.0 and leg.call is (shares > 0.0)
        used = min(room, -leg.quantity) if covers else 0.0
        room -= used
        if leg.quantity + used != 0.0:
            left.append(replace(leg, quantity=leg.quantity + used))
    return tuple(left)


def _shorts(shorts: tuple[OptionLeg, ...], underlying: Underlying) -> Requirement:
    """Return naked shorts: a call and a put share the larger margin, plus the other's premium.

    Legs pair from the most demanding of each side on.
    """
    total = NOTHING
    sides = [
        sorted(
            (leg for leg in shorts if leg.call is call),
            key=lambda leg: -single(replace(leg, quantity=-1.0), underlying).margin,
        )
        for call in (True, False)
    ]
    calls, puts = sides
    while calls and puts:
        lots = min(-calls[0].quantity, -puts[0].quantity)
        pair = [replace(side[0], quantity=-lots) for side in sides]
        needs = [single(leg, underlying) for leg in pair]
        larger = 0 if needs[0].margin >= needs[1].margin else 1
        margin = needs[larger].margin + pair[1 - larger].premium
        total = total.plus(Requirement(margin, needs[0].cash + needs[1].cash))
        for side in sides:
            rest = replace(side[0], quantity=side[0].quantity + lots)
            side[:1] = [rest] if rest.quantity else []
    return total.plus(_singles((*calls, *puts), underlying))


def _paired(
    longs: tuple[OptionLeg, ...], shorts: tuple[OptionLeg, ...], underlying: Underlying
) -> Requirement:
    """Return a book without a bound: shorts take longs of their kind, nearest strike first."""
    left, total = list(longs), NOTHING
    naked = []
    for short in shorts:
        open_lots = -short.quantity
        for place in sorted(
            (row for row, leg in enumerate(left) if leg.call is short.call),
            key=lambda row: abs(left[row].strike - short.strike),
        ):
            lots = min(open_lots, left[place].quantity)
            if lots <= 0.0:
                continue
            pair = (replace(left[place], quantity=lots), replace(short, quantity=-lots))
            risk = defined_risk(pair)
            total = total.plus(Requirement(risk, risk))
            left[place] = replace(left[place], quantity=left[place].quantity - lots)
            open_lots -= lots
        if open_lots > 0.0:
            naked.append(replace(short, quantity=-open_lots))
    unused = tuple(leg for leg in left if leg.quantity > 0.0)
    return total.plus(_shorts(tuple(naked), underlying)).plus(_singles(unused, underlying))
