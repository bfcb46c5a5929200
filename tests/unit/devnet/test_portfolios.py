"""Planned accounts: as many as asked, the same for a seed, the rare kinds always among them."""

from collections import Counter

import pytest

from deploy.devnet.venue.portfolios import CALL, PUT, AccountPlan, plan_accounts
from deploy.devnet.venue.scene import dying_market, markets


def planned(seed: int, count: int) -> list[AccountPlan]:
    return plan_accounts(seed, count, markets(), dying_market())


def options(plan: AccountPlan) -> int:
    return len({(leg.kind, leg.expiry, leg.strike) for leg in plan.legs if leg.kind in (CALL, PUT)})


def test_the_same_seed_plans_the_same_accounts() -> None:
    assert planned(5, 80) == planned(5, 80)
    assert planned(5, 80) != planned(6, 80)


@pytest.mark.parametrize("count", [60, 300, 1_000])
def test_there_are_as_many_accounts_as_asked(count: int) -> None:
    assert len(planned(1, count)) == count


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_rare_kind_is_always_there(seed: int) -> None:
    styles = Counter(each.style for each in planned(seed, 60))
    rare = ("large book", "synthetic forward", "stable loan", "doomed put", "orphaned spread")
    assert all(styles[style] >= 3 for style in rare)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_least_five_books_hold_thirty_options(seed: int) -> None:
    assert sum(1 for each in planned(seed, 60) if options(each) >= 30) >= 5


def test_nobody_but_the_orphans_holds_the_dying_expiry() -> None:
    dying = dying_market().expiries[0]
    holders = {
        each.style for each in planned(1, 300) if any(leg.expiry == dying for leg in each.legs)
    }
    assert holders == {"orphaned spread"}


def test_a_large_book_is_within_the_size_the_venue_allows() -> None:
    assert all(len(each.legs) <= 64 for each in planned(1, 1_000))
