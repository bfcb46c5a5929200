"""Lending against liquidity positions: Panoptic's collateral ratios, Revert Lend's liquidation.

Exact formulae, no published number. Sources: panoptic-v1-core CollateralTracker (fixed point and
basis points not modelled); revert-finance/lend V3Vault. Fractions and one money unit.
"""

from dataclasses import dataclass

from keeper.margin.errors import BadNumber, finite, not_negative, positive, within


@dataclass(frozen=True, slots=True)
class RevertOutcome:
    """What the liquidator gets, what he pays, what reserves and lenders lose."""

    liq_value: float
    cost: float
    reserve: float


def panoptic_ratios(
    utilization: float, seller: float, buyer: float, target: float, saturated: float
) -> tuple[float, float]:
    """Return (sell, buy) collateral ratios at a pool utilisation."""
    if not finite("target", target) < finite("saturated", saturated):
        raise BadNumber("target", target, "pass a target below the saturated utilisation")
    used = within("utilization", utilization, 0.0, 1.0)
    fill = min(max((used - target) / (saturated - target), 0.0), 1.0)
    sell = within("seller", seller, 0.0, 1.0)
    return sell + fill * (1.0 - sell), not_negative("buyer", buyer) * (1.0 - 0.5 * fill)


def panoptic_strangle(single: float) -> float:
    """Return the ratio of one side of a strangle: half of a single short's."""
    return 0.5 * not_negative("ratio", single)


def revert_liquidation(
    debt: float, full: float, collateral: float, penalties: tuple[float, float]
) -> RevertOutcome:
    """Return the liquidation of one position; penalties = (least, largest).

    full        the position's value
    collateral  the same after its collateral factor

    The penalty grows as the value falls from where liquidation starts to 1 + largest penalty
    times the debt; below that the debt is not covered.
    """
    least, largest = penalties
    owed, value = positive("debt", debt), not_negative("full_value", full)
    limit = owed * (1.0 + not_negative("max_penalty", largest))
    if value < limit:
        cost = max(0.0, value - largest * owed)
        return RevertOutcome(value, cost, owed - cost)
    start = owed * value / positive("collateral_value", collateral)
    share = 1.0 - (value - limit) / positive("room above the penalty", start - limit)
    penalty = not_negative("min_penalty", least) + (largest - least) * share
    return RevertOutcome(owed * (1.0 + penalty), owed, 0.0)
