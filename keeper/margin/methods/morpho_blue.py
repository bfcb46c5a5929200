"""Morpho Blue: one debt, one collateral, and an incentive that depends on the market's LLTV.

Exact formula, no published number. Source: morpho-blue, `Morpho.liquidate`. The chain rounds down
at 1e-18; not modelled here.
"""

from dataclasses import dataclass

from keeper.margin.errors import positive, within
from keeper.margin.seizure import Lending, Seizure


CURSOR = 0.3
INCENTIVE_MAX = 1.15


def incentive(lltv: float, cursor: float = CURSOR, limit: float = INCENTIVE_MAX) -> float:
    """Return the liquidation incentive factor: min(limit, 1 / (1 - cursor (1 - lltv)))."""
    room = within("cursor", cursor, 0.0, 1.0) * (1.0 - within("lltv", lltv, 0.0, 1.0))
    return min(positive("max_lif", limit), 1.0 / positive("1 - cursor x (1 - lltv)", 1.0 - room))


@dataclass(frozen=True, slots=True)
class MorphoBlue:
    """`keeper.margin.seizure.Liquidation` of one isolated market."""

    lltv: float
    cursor: float = CURSOR
    limit: float = INCENTIVE_MAX

    def breached(self, account: Lending) -> bool:
        """Return whether the debt exceeds the collateral's value times LLTV."""
        return account.owed > sum(each.value for each in account.supplies) * self.lltv

    def largest(self, account: Lending, debt: int, collateral: int) -> Seizure:
        """Return the largest liquidation: all debt, or all collateral and the rest written off."""
        owed, held = account.debts[debt], account.supplies[collateral]
        if not self.breached(account):
            return Seizure(0.0, 0.0, 0.0, owed.amount, held.amount)
        factor = incentive(self.lltv, self.cursor, self.limit)
        seized = min(held.amount, owed.value * factor / held.price)
        repaid = min(owed.amount, seized * held.price / factor / owed.price)
        left, rest = owed.amount - repaid, held.amount - seized
        burned = left if rest <= 0.0 else 0.0
        return Seizure(repaid, seized, seized, left - burned, rest, burned)
