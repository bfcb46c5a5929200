"""Maintenance margin by notional tier, and the price at which one position is liquidated.

The form without scenarios: rate times notional less a deduction that makes the steps join up.
Sources: Hyperliquid docs (margin tiers, liquidation price); Binance USD-M help page as worked in
freqtrade's tests; Gate and OKX isolated form with the taker fee; Bybit isolated form. Prices in
quote per coin; side is +1 long, -1 short.
"""

from dataclasses import dataclass
from itertools import pairwise

from keeper.margin.errors import BadNumber, BadShape, between, finite, not_negative, positive


@dataclass(frozen=True, slots=True)
class Tier:
    """From `lower` notional on: maintenance = notional x rate - deduction."""

    lower: float
    rate: float
    deduction: float


@dataclass(frozen=True, slots=True)
class Holding:
    """One perpetual in an account: signed coins, its entry, mark, rate and tier's deduction."""

    quantity: float
    entry: float
    mark: float
    rate: float
    deduction: float

    @property
    def maintenance(self) -> float:
        """Return the maintenance margin at mark."""
        return abs(self.quantity) * self.mark * self.rate - self.deduction

    @property
    def profit(self) -> float:
        """Return the unrealised profit at mark."""
        return self.quantity * (self.mark - self.entry)


def tiers_from_leverage(steps: list[tuple[float, float]]) -> tuple[Tier, ...]:
    """Return tiers from (lower notional, largest leverage): rate = 1 / (2 x leverage).

    Deductions make the requirement continuous: d_k = d_(k-1) + lower_k (rate_k - rate_(k-1)).
    """
    if not steps or steps[0][0] != 0.0:
        raise BadShape("tiers", steps, "pass at least one tier, the first from notional 0")
    if any(low >= high for (low, _), (high, _) in pairwise(steps)):
        raise BadShape("tiers", steps, "pass the lower bounds in rising order")
    tiers: list[Tier] = []
    for lower, leverage in steps:
        rate = 0.5 / positive("max_leverage", leverage)
        before = tiers[-1] if tiers else Tier(0.0, rate, 0.0)
        tiers.append(Tier(lower, rate, before.deduction + lower * (rate - before.rate)))
    return tuple(tiers)


def tier_maintenance(tiers: tuple[Tier, ...], notional: float) -> float:
    """Return the maintenance margin of one notional, in the last tier that starts below it."""
    amount = not_negative("notional", notional)
    tier = next(each for each in reversed(tiers) if each.lower <= amount)
    return amount * tier.rate - tier.deduction


def side_of(name: str) -> float:
    """Return +1.0 for long, -1.0 for short."""
    if name not in ("long", "short"):
        raise BadNumber("side", name, "pass long or short")
    return 1.0 if name == "long" else -1.0


def isolated_by_leverage(
    entry: float, side: float, size: float, margin: float, leverage_max: float
) -> float:
    """Return Hyperliquid's price: entry - side x available / size / (1 - l x side)."""
    rate = 0.5 / positive("max_leverage", leverage_max)
    price, coins = positive("entry", entry), positive("size", size)
    available = finite("isolated_margin", margin) - price * coins * rate
    return price - side * available / coins / between("1 - l x side", 1.0 - rate * side, 0.0, 3.0)


def tiered_price(wallet: float, target: Holding, others: tuple[Holding, ...] = ()) -> float:
    """Return Binance's price at which equity meets all maintenance; the target's mark is unused."""
    size = abs(target.quantity)
    positive("quantity", size)
    positive("entry", target.entry)
    side = 1.0 if target.quantity > 0.0 else -1.0
    rest = finite("wallet", wallet) - sum(each.maintenance for each in others)
    rest += sum(each.profit for each in others)
    room = size * target.rate - side * size
    if room == 0.0:
        raise BadNumber("mmr", target.rate, "pass a maintenance rate below 1")
    return (rest + target.deduction - side * size * target.entry) / room


def isolated_with_fee(
    entry: float, side: float, wallet: float, amount: float, rate_and_fee: float
) -> float:
    """Return the Gate and OKX price: the taker fee of closing counts with maintenance."""
    share = between("mmr + taker_fee", rate_and_fee, 0.0, 1.0)
    loss = finite("wallet", wallet) / positive("amount", amount)
    return (positive("entry", entry) - side * loss) / (1.0 - side * share)


def isolated_bybit(entry: float, side: float, leverage: float, rate: float) -> float:
    """Return the Bybit price: entry x (1 - side x (initial rate - maintenance rate))."""
    room = 1.0 / positive("leverage", leverage) - not_negative("mmr", rate)
    return positive("entry", entry) * (1.0 - side * room)
