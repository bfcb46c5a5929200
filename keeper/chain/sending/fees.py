"""What a transaction offers for its place: fee cap, tip, the bump, and when a cancel pays.

Pure integer arithmetic in wei per gas; it must not know nodes or lanes. Sources: go-ethereum's
replacement rule (both fields at least 10 % up) for the bump, Flashbots' "max base fee in future
blocks" for the cap.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

from keeper.chain.sending.base_fee import ETHEREUM, Ahead, Rule


@dataclass(frozen=True, slots=True)
class FeeParameters:
    """Limits of what any bytes may offer, wei per gas; a tip of zero is not shared with builders.

    What a command bids at first is decided with it (`[limits]`); these hold for every bump of it,
    and for our own housekeeping, besides.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    tip_wei_min: int = 1
    tip_wei_max: int = 100 * 10**9
    cap_wei_max: int = 2_000 * 10**9
    growth_blocks_max: int = 6  # how many full blocks ahead the cap pays for, at most
    base_fee_rule: Rule = ETHEREUM  # how the chain sets its base fee
    revert_gas_ppm: int = 250_000  # what a late call that reverts burns, share of its gas limit
    data_fee_headroom_ppm: int = 2_000_000  # growth of a rollup's data fee that is set aside
    data_fee_transfer_wei_max: int = 10**14  # data fee of a transfer of ours, on such a rollup


@dataclass(frozen=True, slots=True)
class Fee:
    """maxPriorityFeePerGas and maxFeePerGas."""

    tip_wei: int
    cap_wei: int


def base_fee_ahead(ahead: Ahead, blocks: int) -> int:
    """Return the next base fee after so many full blocks more, rounded up: the most it can be."""
    return ceil(Fraction(ahead.growth) ** max(blocks, 0) * ahead.base_next_wei)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a command allows: gas, value and spend in wei, blocks left to its deadline, its rank.

    `value_wei` is what goes besides gas: the call's value, and a rollup's fee for the data.
    """

    gas: int
    value_wei: int
    spend_wei_max: int
    tip_budget_wei: int
    blocks_left: int
    rank: int = 0


def first_fee(offer: Offer, ahead: Ahead, parameters: FeeParameters) -> Fee | None:
    """Return what a first attempt offers, None where its budget does not pay the next block.

    The tip is the budget per gas within the configured bounds, less one wei a rank: lanes that
    would offer the same are then served in rank order by a builder that sorts by tip.
    """
    tip = min(
        max(offer.tip_budget_wei // offer.gas, parameters.tip_wei_min), parameters.tip_wei_max
    )
    tip = max(tip - offer.rank, parameters.tip_wei_min)
    blocks = min(max(offer.blocks_left, 0), parameters.growth_blocks_max)
    cap = min(tip + base_fee_ahead(ahead, blocks), parameters.cap_wei_max, affordable_cap(offer))
    if cap < ahead.base_next_wei + parameters.tip_wei_min:
        return None
    return Fee(min(tip, cap), cap)


def affordable_cap(offer: Offer) -> int:
    """Return the highest fee cap with which gas and value stay within the command's spend."""
    return max(offer.spend_wei_max - offer.value_wei, 0) // offer.gas


def bumped(old_wei: int) -> int:
    """Return ceil(112.5 % of `old_wei`) + 1: beyond every node's replacement threshold."""
    return -(-old_wei * 1125 // 1000) + 1


def replacement_fee(old: Fee, offer: Offer, ahead: Ahead, parameters: FeeParameters) -> Fee | None:
    """Return fees that replace `old` everywhere, None where that is beyond budget or limit.

    Both fields rise by the bump; the cap rises to what the blocks left need where that is more
    and still affordable. None too where even that does not pay the next block: it buys nothing.
    """
    tip, floor = bumped(old.tip_wei), bumped(old.cap_wei)
    most = min(parameters.cap_wei_max, affordable_cap(offer))
    if floor > most or tip > parameters.tip_wei_max or tip > most:
        return None
    blocks = min(max(offer.blocks_left, 0), parameters.growth_blocks_max)
    cap = max(floor, min(tip + base_fee_ahead(ahead, blocks), most))
    return Fee(tip, cap) if cap >= ahead.base_next_wei + parameters.tip_wei_min else None


def outbidding_fee(
    old: Fee, offer: Offer, ahead: Ahead, parameters: FeeParameters
) -> tuple[Fee, int] | None:
    """Return fees with which another command takes the place of `old`, and what that adds.

    Those of its own first offer, raised to what replaces `old` everywhere; the addition is in wei,
    over what its own tip would cost. None where its budget does not pay it.
    """
    own = first_fee(offer, ahead, parameters)
    if own is None:
        return None
    fee = Fee(max(own.tip_wei, bumped(old.tip_wei)), max(own.cap_wei, bumped(old.cap_wei)))
    if fee.cap_wei > min(parameters.cap_wei_max, affordable_cap(offer)):
        return None
    if fee.tip_wei > parameters.tip_wei_max:
        return None
    return fee, offer.gas * (fee.tip_wei - own.tip_wei)


def cancel_pays(
    old: Fee, gas: int, cancel_gas: int, ahead: Ahead, parameters: FeeParameters
) -> bool:
    """Tell whether taking a late call's nonce back is cheaper than letting it revert.

    Both at the next base fee; a revert burns `revert_gas_ppm` of the gas limit, as an estimate.
    """
    base = ahead.base_next_wei
    burnt = gas * parameters.revert_gas_ppm // 1_000_000 * (base + old.tip_wei)
    return cancel_gas * (base + bumped(old.tip_wei)) < burnt
