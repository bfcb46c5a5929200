"""What a transaction offers for its place: base fee ahead, fee cap, tip, and the bump.

Pure integer arithmetic in wei per gas; it must not know nodes or lanes. Sources: EIP-1559 for the
base fee, go-ethereum's replacement rule (both fields at least 10 % up) for the bump, Flashbots'
"max base fee in future blocks" for the cap.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar, Final


ELASTICITY: Final = 2
CHANGE_DENOMINATOR: Final = 8


@dataclass(frozen=True, slots=True)
class FeeParameters:
    """Limits of what we offer, wei per gas; a tip of zero is not shared with builders."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    tip_wei_min: int = 1
    tip_wei_max: int = 100 * 10**9
    cap_wei_max: int = 2_000 * 10**9
    growth_blocks_max: int = 6  # how many full blocks ahead the cap pays for, at most


@dataclass(frozen=True, slots=True)
class Fee:
    """maxPriorityFeePerGas and maxFeePerGas."""

    tip_wei: int
    cap_wei: int


def next_base_fee(base_fee_wei: int, gas_used: int, gas_limit: int) -> int:
    """Return the child's base fee, exactly as EIP-1559 computes it from its parent."""
    target = gas_limit // ELASTICITY
    if target in (0, gas_used):
        return base_fee_wei
    change = base_fee_wei * abs(gas_used - target) // target // CHANGE_DENOMINATOR
    if gas_used > target:
        return base_fee_wei + max(change, 1)
    return max(base_fee_wei - change, 0)


def base_fee_ahead(base_fee_wei: int, blocks: int) -> int:
    """Return base_fee * 1.125^blocks rounded up: the most it can be after full blocks."""
    grown = Fraction(CHANGE_DENOMINATOR + 1, CHANGE_DENOMINATOR) ** max(blocks, 0) * base_fee_wei
    return ceil(grown)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a command allows: gas, value and spend in wei, blocks left to its deadline, its rank."""

    gas: int
    value_wei: int
    spend_wei_max: int
    tip_budget_wei: int
    blocks_left: int
    rank: int = 0


def first_fee(offer: Offer, base_next_wei: int, parameters: FeeParameters) -> Fee | None:
    """Return what a first attempt offers, None where its budget does not pay the next block.

    The tip is the budget per gas within the configured bounds, less one wei a rank: lanes that
    would offer the same are then served in rank order by a builder that sorts by tip.
    """
    tip = min(
        max(offer.tip_budget_wei // offer.gas, parameters.tip_wei_min), parameters.tip_wei_max
    )
    tip = max(tip - offer.rank, parameters.tip_wei_min)
    ahead = min(max(offer.blocks_left, 0), parameters.growth_blocks_max)
    cap = min(
        tip + base_fee_ahead(base_next_wei, ahead), parameters.cap_wei_max, affordable_cap(offer)
    )
    if cap < base_next_wei + parameters.tip_wei_min:
        return None
    return Fee(min(tip, cap), cap)


def affordable_cap(offer: Offer) -> int:
    """Return the highest fee cap with which gas and value stay within the command's spend."""
    return max(offer.spend_wei_max - offer.value_wei, 0) // offer.gas


def bumped(old_wei: int) -> int:
    """Return ceil(112.5 % of `old_wei`) + 1: beyond every node's replacement threshold."""
    return -(-old_wei * 1125 // 1000) + 1


def replacement_fee(
    old: Fee, offer: Offer, base_next_wei: int, parameters: FeeParameters
) -> Fee | None:
    """Return fees that replace `old` everywhere, None where that is beyond budget or limit.

    Both fields rise by the bump; the cap rises to what the blocks left need where that is more
    and still affordable. None too where even that does not pay the next block: it buys nothing.
    """
    tip, floor = bumped(old.tip_wei), bumped(old.cap_wei)
    most = min(parameters.cap_wei_max, affordable_cap(offer))
    if floor > most or tip > parameters.tip_wei_max or tip > most:
        return None
    ahead = min(max(offer.blocks_left, 0), parameters.growth_blocks_max)
    cap = max(floor, min(tip + base_fee_ahead(base_next_wei, ahead), most))
    return Fee(tip, cap) if cap >= base_next_wei + parameters.tip_wei_min else None
