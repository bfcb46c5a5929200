"""Rows to leaves and rungs: grouping, chunking, naked shorts."""

import numpy as np
import pytest

from keeper.margin.book import Kind, Listing
from keeper.margin.netting import chunks, group_leaves, held_legs, naked_shorts, strike_ranks
from tests.reference import pmrm2_arrays as arrays


# Two expiries, two strikes: call and put of each side by side.
LISTING = Listing(
    kind=np.array([Kind.CALL, Kind.PUT] * 4, np.int8),
    underlying=np.zeros(8, np.int32),
    expiry=np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32),
    strike=np.array([10.0, 10.0, 20.0, 20.0] * 2),
)


def naked(rows: dict[int, float], listing: Listing = LISTING) -> list[float]:
    book = arrays.book([rows], [0.0], [0.0])
    legs = held_legs(book, 0, 1)
    leaves = group_leaves(legs, listing.expiry, 1, 2)
    return naked_shorts(legs, leaves, strike_ranks(listing)).tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({0: -3.0}, [3.0]),  # a lone short
        ({0: -3.0, 1: -2.0}, [5.0]),  # both short: both count
        ({0: -3.0, 1: 2.0}, [1.0]),  # call and put of one strike offset
        ({0: -3.0, 1: 5.0}, [0.0]),
        ({0: 3.0, 1: 5.0}, [0.0]),
        ({0: -3.0, 2: 3.0}, [3.0]),  # other strikes never do
        ({0: -3.0, 4: 3.0}, [3.0, 0.0]),  # nor other expiries
        ({0: 0.0, 1: -1.0}, [1.0]),
        ({}, []),
    ],
)
def test_naked_shorts_offset_at_one_strike_only(
    rows: dict[int, float], expected: list[float]
) -> None:
    assert naked(rows) == expected


def test_naked_shorts_do_not_need_the_pair_side_by_side() -> None:
    order = np.array([0, 2, 4, 6, 1, 3, 5, 7])  # all calls first
    listing = Listing(
        kind=LISTING.kind[order],
        underlying=LISTING.underlying,
        expiry=LISTING.expiry[order],
        strike=LISTING.strike[order],
    )
    assert naked({0: -3.0, 1: -1.0, 3: -2.0, 4: 2.0, 5: 4.0}, listing) == [1.0, 2.0]


def test_leaves_group_by_account_and_expiry_and_sum_in_place() -> None:
    book = arrays.book([{0: 1.0, 5: 2.0}, {}, {4: 4.0, 6: 8.0}], [0.0] * 3, [0.0] * 3)
    legs = held_legs(book, 0, 3)
    leaves = group_leaves(legs, LISTING.expiry, 3, 2)
    assert leaves.account.tolist() == [0, 0, 2]
    assert leaves.expiry.tolist() == [0, 1, 1]
    assert leaves.net(legs.quantity).tolist() == [1.0, 2.0, 12.0]


def test_chunks_cover_every_account_once_and_hold_the_bound() -> None:
    counts = np.array([3, 0, 0, 50, 2, 2, 2, 9, 0])
    start = np.concatenate([[0], np.cumsum(counts)])
    for bound in (1, 4, 10, 1000):
        ranges = list(chunks(start, bound))
        assert [a for first, last in ranges for a in range(first, last)] == list(range(9))
        for first, last in ranges:
            assert last - first == 1 or counts[first:last].sum() <= bound
            assert last - first <= max(1, bound // 4)


def test_no_accounts_have_no_chunks() -> None:
    assert list(chunks(np.zeros(1, np.int64), 8)) == []
