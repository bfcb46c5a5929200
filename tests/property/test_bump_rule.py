"""Our bump against geth's own rule for a replacement, as a pool of its rules applies it.

`legacypool/list.go Add`: both fields strictly higher, and each at least 110 % of the old one,
rounded down. A chain of bumps must pass at each step, and what is a wei less than the rule must not
pass, or the pool that judges here would be no judge.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.sending.base_fee import Ahead
from keeper.chain.sending.fees import Fee, FeeParameters, Offer, bumped, replacement_fee
from tests.world.geth_pool import GethPool, Holder, Pooled, PoolLimits, PoolRefused


GWEI = 10**9
RICH = Holder(nonce=0, balance=10**30)
LIMITS = FeeParameters(tip_wei_min=1, tip_wei_max=10**16, cap_wei_max=10**17)
GAS = 21_000
# geth, reth, Erigon and Besu ask for a tenth; bor and Nethermind the same; others less.
PERCENTS = (10, 5, 1, 12)


def offered(fee: Fee, place: int) -> Pooled:
    """Return the transaction of one nonce that offers so much, of a hash of its own."""
    return Pooled(f"0x{place:064x}", "0x02", "0xa", 0, fee.tip_wei, fee.cap_wei, GAS, 0)


def pool_of(*fees: Fee, percent: int = 10) -> GethPool:
    """Return a pool that was given these offers for one nonce, one after another."""
    pool = GethPool(PoolLimits(price_bump_percent=percent, fee_cap_wei=10**30))
    for place, fee in enumerate(fees):
        pool.add(offered(fee, place), RICH)
    return pool


def taken(old: Fee, new: Fee) -> bool:
    """Tell whether the pool lets one offer take the other's place."""
    try:
        pool_of(old, new)
    except PoolRefused as refused:
        if "replacement transaction underpriced" not in str(refused):
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("old", "new", "passes"),
    [
        # (tip, cap): both a tenth up, to the wei; below a hundred wei the tenth rounds down.
        ((1000, 10_000), (1100, 11_000), True),
        ((1000, 10_000), (1099, 11_000), False),
        ((1000, 10_000), (1100, 10_999), False),
        ((1000, 10_000), (10_000, 10_999), False),
        ((1000, 10_000), (1000, 99_999), False),
        ((1, 1), (2, 2), True),
        ((1, 1), (1, 2), False),
        ((9, 9), (10, 10), True),
        ((15, 15), (16, 16), True),
        ((19, 19), (20, 20), True),
        ((999, 999), (1098, 1098), True),
        ((999, 999), (1097, 1098), False),
    ],
)
def test_bump_rule_matches_geth_row_by_row(
    old: tuple[int, int], new: tuple[int, int], passes: bool
) -> None:
    assert taken(Fee(*old), Fee(*new)) is passes
    # Ours is beyond the rule wherever the rule may lie.
    assert taken(Fee(*old), Fee(bumped(old[0]), bumped(old[1])))


@given(st.integers(1, 10**15), st.integers(0, 10**15), st.sampled_from(PERCENTS))
def test_bump_rule_matches_geth_and_is_minimal_to_an_eighth(
    tip: int, more: int, percent: int
) -> None:
    old = Fee(tip, tip + more)
    new = Fee(bumped(old.tip_wei), bumped(old.cap_wei))
    pool = pool_of(old, new, percent=percent)
    assert [each.cap for each in pool.executable("0xa", 0)] == [new.cap_wei]
    assert new.tip_wei <= -(-old.tip_wei * 9 // 8) + 1, "not dearer than one base fee step"
    # The pool is a judge: a wei below its own threshold is refused.
    threshold = max(old.tip_wei * 110 // 100, old.tip_wei + 1)
    assert not taken(old, replace(new, tip_wei=threshold - 1))


@given(
    st.integers(1, 50 * GWEI),
    st.integers(0, 500 * GWEI),
    st.lists(st.integers(1, 2_000 * GWEI), min_size=1, max_size=8),
    st.integers(10**14, 10**18),
)
def test_bump_rule_matches_geth_over_a_chain_of_bumps_within_the_spend(
    tip: int, more: int, bases: list[int], spend: int
) -> None:
    offer = Offer(GAS, 0, spend, 0, 3)
    fees = [Fee(tip, tip + more)]
    for base in bases:
        fee = replacement_fee(fees[-1], offer, Ahead(base), LIMITS)
        if fee is not None:
            assert fee.cap_wei * GAS <= spend
            fees.append(fee)
    pool = pool_of(*fees)
    assert [each.cap for each in pool.executable("0xa", 0)] == [fees[-1].cap_wei]
    assert len(pool.dropped) == len(fees) - 1
