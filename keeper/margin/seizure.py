"""What a lending market lets a liquidator do: state in; largest repayment, seizure, rest out.

The second interface of margin: a fixed haircut is a method without scenarios, and its
liquidation is a formula of the rules. Amounts are whole units of the asset named, values in one
money unit; each protocol's file in `methods/` answers in these shapes.
"""

from dataclasses import dataclass
from typing import Protocol

from keeper.margin.errors import not_negative, positive


@dataclass(frozen=True, slots=True)
class Reserve:
    """One account's holding of one asset.

    amount     units; supplied or owed
    price      money a unit
    threshold  share of a supply's value that counts when solvency is tested; 1.0 for a debt
    """

    amount: float
    price: float
    threshold: float = 1.0

    def __post_init__(self) -> None:
        not_negative("amount", self.amount)
        positive("price", self.price)
        not_negative("threshold", self.threshold)

    @property
    def value(self) -> float:
        """Return the holding in money."""
        return self.amount * self.price


@dataclass(frozen=True, slots=True)
class Lending:
    """One account: what it supplied and what it owes."""

    supplies: tuple[Reserve, ...]
    debts: tuple[Reserve, ...]

    @property
    def counted(self) -> float:
        """Return the supplies' value after thresholds."""
        return sum(each.value * each.threshold for each in self.supplies)

    @property
    def owed(self) -> float:
        """Return the debts' value."""
        return sum(each.value for each in self.debts)

    @property
    def excess(self) -> float:
        """Return counted supplies less debts; below zero = breach."""
        return self.counted - self.owed

    @property
    def health(self) -> float:
        """Return counted supplies over debts; infinite without a debt."""
        return self.counted / self.owed if self.owed > 0.0 else float("inf")


@dataclass(frozen=True, slots=True)
class Seizure:
    """The outcome of one liquidation.

    repaid           units of the debt asset the liquidator pays
    seized           units of collateral taken from the account
    received         units of collateral the liquidator gets; the rest is the protocol's fee
    debt_left        units of that debt asset the account still owes
    collateral_left  units of that collateral it still has
    written_off      units of the debt nobody pays
    """

    repaid: float
    seized: float
    received: float
    debt_left: float
    collateral_left: float
    written_off: float = 0.0


class Liquidation(Protocol):
    """A protocol's rule with its parameters."""

    def breached(self, account: Lending) -> bool:
        """Return whether the account may be liquidated."""

    def largest(self, account: Lending, debt: int, collateral: int) -> Seizure:
        """Return the largest liquidation of one debt against one collateral (their indices)."""
