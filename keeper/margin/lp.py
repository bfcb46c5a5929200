"""Uniswap v3 liquidity as an instrument: amounts and value at any price, impermanent loss.

Source: A. Elsts, Liquidity Math in Uniswap v3 (2021); the Uniswap v3 white paper (2021), 6.2-6.3.
P is the price of x (token 0) in y (token 1); L is liquidity. V(P) is L P (1/sqrt Pa - 1/sqrt Pb)
below the range, L (2 sqrt P - sqrt Pa - P / sqrt Pb) inside, L (sqrt Pb - sqrt Pa) above.
"""

import math
from dataclasses import dataclass

import numpy as np

from keeper.margin.book import Floats
from keeper.margin.errors import BadNumber, finite_array, not_negative, positive


TICK = 1.0001
Q96 = 2.0**96


@dataclass(frozen=True, slots=True)
class Range:
    """A price range; lower < upper, both above zero."""

    lower: float
    upper: float

    def __post_init__(self) -> None:
        positive("Pa", self.lower)
        positive("Pb", self.upper)
        if self.lower >= self.upper:
            raise BadNumber("Pa", self.lower, f"pass a lower price below Pb = {self.upper:g}")


def liquidity_of_x(x: float, price: float, upper: float) -> float:
    """Return the liquidity that x alone gives: x / (1/sqrt P - 1/sqrt Pb)."""
    Range(price, upper)
    return not_negative("x", x) / (1.0 / math.sqrt(price) - 1.0 / math.sqrt(upper))


def liquidity_of_y(y: float, price: float, lower: float) -> float:
    """Return the liquidity that y alone gives: y / (sqrt P - sqrt Pa)."""
    Range(lower, price)
    return not_negative("y", y) / (math.sqrt(price) - math.sqrt(lower))


def liquidity_of_amounts(x: float, y: float, price: float, span: Range) -> float:
    """Return the liquidity that both amounts pay for: the smaller one, inside the range."""
    if price <= span.lower:
        return liquidity_of_x(x, span.lower, span.upper)
    if price >= span.upper:
        return liquidity_of_y(y, span.upper, span.lower)
    from_x = liquidity_of_x(x, price, span.upper)
    return min(from_x, liquidity_of_y(y, price, span.lower))


def lower_price(y: float, liquidity: float, price: float) -> float:
    """Return the lower end of the range at which y pays for this liquidity."""
    root = math.sqrt(positive("P", price)) - not_negative("y", y) / positive("L", liquidity)
    return positive("sqrt Pa", root) ** 2


def amounts(liquidity: float, span: Range, price: Floats) -> tuple[Floats, Floats]:
    """Return (x, y) at each price, the shape of `price`."""
    root = np.sqrt(np.clip(_prices(price), span.lower, span.upper))
    size = not_negative("L", liquidity)
    return (
        size * (1.0 / root - 1.0 / math.sqrt(span.upper)),
        size * (root - math.sqrt(span.lower)),
    )


def value(liquidity: float, span: Range, price: Floats) -> Floats:
    """Return the position's worth in y at each price: what margin revalues under a scenario."""
    x, y = amounts(liquidity, span, price)
    worth: Floats = x * _prices(price) + y
    return worth


def range_loss(liquidity: float, span: Range, entry: float, price: Floats) -> Floats:
    """Return impermanent loss against holding the amounts at entry, a fraction <= 0."""
    x, y = amounts(liquidity, span, np.array([positive("entry", entry)]))
    kept: Floats = x[0] * _prices(price) + y[0]
    return value(liquidity, span, price) / kept - 1.0


def full_range_loss(ratio: float) -> float:
    """Return impermanent loss without a range, at price ratio r: 2 sqrt r / (1 + r) - 1."""
    moved = positive("price_ratio", ratio)
    return 2.0 * math.sqrt(moved) / (1.0 + moved) - 1.0


def reserves(liquidity: float, price: float) -> tuple[float, float]:
    """Return (x, y) without a range: L / sqrt P, L sqrt P."""
    root = math.sqrt(positive("P", price))
    return not_negative("L", liquidity) / root, liquidity * root


def root_of_q96(root: int) -> float:
    """Return a square root of price from its Q64.96 integer."""
    if root <= 0:
        raise BadNumber("sqrtP", root, "pass a positive Q64.96 integer")
    return root / Q96


def wei_liquidity(amount0: int, amount1: int, roots: tuple[int, int, int]) -> tuple[float, float]:
    """Return (L from token 0, L from token 1) of wei amounts; roots = (lower, price, upper)."""
    low, here, high = (root_of_q96(each) for each in roots)
    return amount0 * here * high / (high - here), amount1 / (here - low)


def wei_amounts(liquidity: float, roots: tuple[int, int, int]) -> tuple[float, float]:
    """Return (amount0, amount1) in wei; roots = (lower, price, upper), Q64.96."""
    low, here, high = (root_of_q96(each) for each in roots)
    size = not_negative("L", liquidity)
    return size * (high - here) / (high * here), size * (here - low)


def tick_of_root(root: int) -> int:
    """Return the tick at or below a Q64.96 root, exact to the integer.

    The float logarithm is a guess; 1.0001^tick <= price is then settled in whole numbers.
    """
    tick = math.floor(2.0 * math.log(root_of_q96(root)) / math.log(TICK))
    while not _reaches(root, tick):
        tick -= 1
    while _reaches(root, tick + 1):
        tick += 1
    return tick


def _reaches(root: int, tick: int) -> bool:
    """Return whether root^2 / 2^192 >= 1.0001^tick, in integers."""
    up, down = pow(10001, abs(tick)), pow(10000, abs(tick))
    if tick < 0:
        up, down = down, up
    return bool(root * root * down >= up * (1 << 192))


def _prices(price: Floats) -> Floats:
    prices = finite_array("P", price)
    if (prices <= 0.0).any():
        raise BadNumber("P", float(prices.min()), "pass prices above zero")
    return prices
