"""Priority is a strict total order that ends in the account id."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from keeper.liquidation.priority import ORDERS, Appraised, prioritise
from keeper.liquidation.strategy import Appraisal, Service
from tests.unit.liquidation.opportunities import opportunity


def appraised(
    account: int, excess: float, service: Service = Service.START, profit: float = 0.0
) -> Appraised:
    return Appraised(
        opportunity(account=account, excess_usd=excess),
        Appraisal(service, 0.0, profit, 0.0, 100),
    )


def accounts(rows: list[Appraised]) -> list[int]:
    return [row.opportunity.account for row in rows]


def test_the_deepest_breach_is_served_first() -> None:
    rows = [appraised(1, -5.0), appraised(2, -50.0), appraised(3, -10.0)]

    assert accounts(prioritise(rows, ORDERS["excess"])) == [2, 3, 1]


def test_equal_breaches_are_served_by_account_id() -> None:
    rows = [appraised(9, -5.0), appraised(2, -5.0), appraised(4, -5.0)]

    assert accounts(prioritise(rows, ORDERS["excess"])) == [2, 4, 9]


def test_a_start_comes_before_any_bid() -> None:
    rows = [appraised(1, -500.0, Service.BID), appraised(2, -1.0)]

    assert accounts(prioritise(rows, ORDERS["excess"])) == [2, 1]


def test_net_profit_ranks_per_unit_of_gas() -> None:
    rows = [appraised(1, -1.0, Service.BID, 10.0), appraised(2, -1.0, Service.BID, 90.0)]

    assert accounts(prioritise(rows, ORDERS["net_profit"])) == [2, 1]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(-3, 0)), max_size=6))
def test_the_order_does_not_depend_on_the_order_of_arrival(pairs) -> None:
    unique = dict(pairs)
    rows = [appraised(account, float(excess)) for account, excess in unique.items()]

    for order in ORDERS.values():
        results = {
            tuple(accounts(prioritise(list(permuted), order)))
            for permuted in itertools.permutations(rows[:4])
        }
        assert len(results) == 1


def test_one_huge_book_does_not_head_every_block_per_unit_of_gas() -> None:
    huge = Appraised(
        opportunity(account=1, excess_usd=-900.0), Appraisal(Service.START, 0, 0, 0, 10_000)
    )
    small = Appraised(
        opportunity(account=2, excess_usd=-90.0), Appraisal(Service.START, 0, 0, 0, 100)
    )

    assert accounts(prioritise([huge, small], ORDERS["excess"])) == [1, 2]
    assert accounts(prioritise([huge, small], ORDERS["excess_per_gas"])) == [2, 1]


def test_a_worth_that_is_not_a_number_comes_last_wherever_it_stood() -> None:
    nan = float("nan")
    rows = [appraised(1, nan, profit=nan), appraised(2, -5.0), appraised(3, -9.0, profit=1.0)]

    for order in ORDERS.values():
        for permuted in itertools.permutations(rows):
            assert accounts(prioritise(list(permuted), order))[-1] == 1
