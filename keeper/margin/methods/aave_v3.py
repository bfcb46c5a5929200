"""Aave v3.3 and later: how much of a debt may be repaid, and what collateral it buys.

Exact. Source: aave-v3-origin docs/3.3, LiquidationLogic. Values in money, no rounding; the chain's
own wei rounding belongs to a protocol room.
"""

from dataclasses import dataclass

from keeper.margin.errors import BadNumber, not_negative, positive, within
from keeper.margin.seizure import Lending, Reserve, Seizure


@dataclass(frozen=True, slots=True)
class AaveRules:
    """The pool's constants: deployed ones by default, and one collateral's bonus and fee."""

    bonus: float
    protocol_fee: float = 0.0
    close_factor: float = 0.5
    full_close_health: float = 0.95
    small: float = 2000.0
    leftover: float = 1000.0

    def __post_init__(self) -> None:
        if not self.bonus >= 1.0:
            raise BadNumber("bonus", self.bonus, "pass 1.0 plus the liquidation bonus")
        within("protocol_fee", self.protocol_fee, 0.0, 1.0)
        within("close_factor", self.close_factor, 0.0, 1.0)


def largest_repayment(
    rules: AaveRules, debt: float, total: float, collateral: float, health: float
) -> float:
    """Return the debt value that may be repaid; half of ALL debt, unless small or far gone."""
    owed, everything = not_negative("debt", debt), not_negative("total debt", total)
    seizable = not_negative("collateral", collateral)
    if health <= rules.full_close_health or seizable < rules.small or owed < rules.small:
        return owed
    return min(owed, rules.close_factor * everything)


def seize(
    rules: AaveRules, cover: float, debt_price: float, collateral_price: float, balance: float
) -> tuple[float, float, float]:
    """Return (repaid, seized, fee): units of debt, of collateral, of collateral."""
    repaid = not_negative("debt_to_cover", cover)
    ratio = positive("debt_price", debt_price) / positive("coll_price", collateral_price)
    seized = repaid * ratio * rules.bonus
    if seized > not_negative("coll_balance", balance):
        seized = balance
        repaid = balance / rules.bonus / ratio
    return repaid, seized, rules.protocol_fee * (seized - seized / rules.bonus)


def partial_limit(rules: AaveRules, value: float) -> float:
    """Return how much of a side may be cleared when not all of it is: the leftover must stay."""
    return max(0.0, not_negative("value", value) - rules.leftover)


@dataclass(frozen=True, slots=True)
class AaveV3:
    """`keeper.margin.seizure.Liquidation` by Aave's rules."""

    rules: AaveRules

    def breached(self, account: Lending) -> bool:
        """Return whether the health factor is below one."""
        return account.health < 1.0

    def largest(self, account: Lending, debt: int, collateral: int) -> Seizure:
        """Return the largest liquidation; bad debt is burned when no collateral is left.

        Where neither side is cleared and one would keep less than the leftover, the repayment is
        cut back until both keep it.
        """
        owed, held = account.debts[debt], account.supplies[collateral]
        if not self.breached(account):
            return Seizure(0.0, 0.0, 0.0, owed.amount, held.amount)
        limit = largest_repayment(self.rules, owed.value, account.owed, held.value, account.health)
        cover = min(limit / owed.price, owed.amount)
        outcome = seize(self.rules, cover, owed.price, held.price, held.amount)
        if self._leaves_dust(owed, held, outcome):
            room = partial_limit(self.rules, held.value) / self.rules.bonus
            cover = min(limit, partial_limit(self.rules, owed.value), room) / owed.price
            outcome = seize(self.rules, cover, owed.price, held.price, held.amount)
        repaid, seized, fee = outcome
        left, rest = owed.amount - repaid, held.amount - seized
        poor = rest <= 0.0 and len(account.supplies) == 1
        return Seizure(
            repaid, seized, seized - fee, 0.0 if poor else left, rest, left if poor else 0.0
        )

    def _leaves_dust(
        self, owed: Reserve, held: Reserve, outcome: tuple[float, float, float]
    ) -> bool:
        """Return whether neither side is cleared and one would keep less than the leftover."""
        rests = ((owed.amount - outcome[0]) * owed.price, (held.amount - outcome[1]) * held.price)
        return min(rests) > 0.0 and min(rests) < self.rules.leftover
