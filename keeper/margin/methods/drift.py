"""Drift v2: weights that worsen with size, scaled deposits, cross and isolated side by side.

Exact, in the programme's own integers: weights and ratios at 1e4, sizes at 1e9, values at 1e6;
`//` is floor division. Sources: drift-labs/protocol-v2 math/margin and math/spot_balance, and
the SDK's tests.
"""

from math import isqrt

from keeper.margin.errors import BadNumber, not_negative


SIZE = 10**9
VALUE = 10**6
WEIGHT = 10**4


def size_of(tokens: float) -> int:
    """Return a token amount at 1e9."""
    return round(not_negative("tokens", tokens) * SIZE)


def asset_weight(size: int, factor: int, weight: int) -> int:
    """Return a deposit's weight after the size discount; size at 1e9."""
    _whole("size", size)
    if factor == 0:
        return weight
    discount = 1_100_000 * 10_000 // (1_000_000 + _root(size) * _whole("imf", factor) // 100_000)
    return min(weight, discount)


def profit_weight(profit: float, factor: int, weight: int) -> int:
    """Return the weight of unsettled profit in USD, which counts as a deposit of its own size."""
    return asset_weight(round(not_negative("upnl_usd", profit) * VALUE) * 1000, factor, weight)


def liability_weight(size: int, factor: int, weight: int) -> int:
    """Return a borrow's weight, or a perpetual's ratio, after the size premium."""
    _whole("size", size)
    if factor == 0:
        return weight
    premium = weight - weight // 5 + _root(size) * _whole("imf", factor) // 10_000_000
    return max(weight, premium)


def perpetual_requirement(size: int, oracle: int, ratio: int) -> int:
    """Return the requirement at 1e6: size at 1e9, oracle at 1e6, ratio at 1e4."""
    return (_whole("size", size) * _whole("oracle", oracle) // SIZE) * ratio // WEIGHT


def scaled_weight(deposits: float, price: float, weight: int, start: float) -> int:
    """Return a deposit's weight when the whole market's deposits exceed a value; 0 = no scale."""
    value = not_negative("deposits", deposits) * not_negative("price", price)
    if start == 0.0 or value <= start:
        return weight
    return int(weight * start / value)


def cross_requirement(liability: float, weight: float, buffer: float = 0.0) -> float:
    """Return a borrow's requirement; on chain the buffer is on the UNWEIGHTED liability."""
    value = not_negative("liability", liability)
    return value * weight + not_negative("buffer", buffer) * value


def buffered_weighted(liability: float, weight: float, buffer: float) -> float:
    """Return the SDK's convention: the buffer on the weighted liability."""
    return not_negative("liability", liability) * weight * (1.0 + not_negative("buffer", buffer))


def isolated_account(
    position: tuple[float, float, float], collateral: float, ratio: float, buffer: float = 0.0
) -> tuple[float, float]:
    """Return (requirement, collateral); position = (coins, entry value negated, oracle)."""
    coins, quote, oracle = position
    notional = abs(coins) * not_negative("oracle", oracle)
    profit = coins * oracle + quote
    requirement = notional * ratio + not_negative("buffer", buffer) * notional
    return requirement, collateral + profit + buffer * min(profit, 0.0)


def _root(size: int) -> int:
    return isqrt(10 * size + 1)


def _whole(field: str, value: int) -> int:
    if value < 0:
        raise BadNumber(field, value, "pass a whole number of zero or more")
    return value
