"""Compound III (Comet): absorption of a whole account, and the storefront's price.

Exact. Source: compound-finance/comet. Debt and reserves in the base asset (price 1).
"""

from dataclasses import dataclass

from keeper.margin.errors import finite, not_negative, positive, within
from keeper.margin.seizure import Lending, Seizure


def liquidatable(debt: float, counted: float) -> bool:
    """Return whether debt exceeds the collateral after its liquidation factors; strict."""
    return -not_negative("debt", debt) + not_negative("counted collateral", counted) < 0.0


def quote_collateral(
    base_amount: float, price: float, store_front: float, liquidation_factor: float
) -> float:
    """Return collateral sold for `base_amount` at the discounted storefront price."""
    factor = 1.0 - within("liquidation_factor", liquidation_factor, 0.0, 1.0)
    discount = within("store_front_price_factor", store_front, 0.0, 1.0) * factor
    asked = positive("price", price) * (1.0 - within("discount", discount, 0.0, 1.0 - 1e-9))
    return not_negative("base_amount", base_amount) / asked


def absorb(
    total_borrow: float, reserves: float, debts: tuple[float, ...], credited: tuple[float, ...]
) -> tuple[float, float]:
    """Return (total borrow, reserves) after accounts are absorbed.

    debts, credited  one an account: what it owed; its collateral x price x liquidation factor.
    Reserves pay the debt and, where more was credited, the account's new balance.
    """
    borrow, rest = not_negative("total_borrow", total_borrow), finite("reserves", reserves)
    for owed, value in zip(debts, credited, strict=True):
        borrow -= not_negative("debts", owed)
        rest -= max(owed, not_negative("credited", value))
    return borrow, rest


def balance_after(debt: float, credited: float) -> float:
    """Return what the absorbed account is left with: never below zero."""
    return max(0.0, -not_negative("debt", debt) + not_negative("credited", credited))


@dataclass(frozen=True, slots=True)
class CompoundV3:
    """`keeper.margin.seizure.Liquidation`: all collateral goes, whatever the debt.

    liquidation_factors  one for each supply: the share of its value that is credited
    """

    liquidation_factors: tuple[float, ...]

    def breached(self, account: Lending) -> bool:
        """Return whether the account may be absorbed; its debt is one base asset."""
        return liquidatable(account.owed, account.counted)

    def largest(self, account: Lending, debt: int, collateral: int) -> Seizure:
        """Return the absorption, in one collateral's units; the protocol repays all debt."""
        owed, held = account.debts[debt], account.supplies[collateral]
        if not self.breached(account):
            return Seizure(0.0, 0.0, 0.0, owed.amount, held.amount)
        pairs = zip(account.supplies, self.liquidation_factors, strict=True)
        credited = sum(each.value * factor for each, factor in pairs)
        unpaid = max(0.0, owed.amount - credited / owed.price)
        return Seizure(owed.amount - unpaid, held.amount, 0.0, 0.0, 0.0, unpaid)
