import asyncio

import pytest

from keeper.chain.link.budget import Bucket, Budget, BudgetConfig
from keeper.domain.errors import ConfigError, RateLimited
from keeper.domain.units import NS_PER_S
from tests.unit.chain.scripted_node import HostClock


class SetClock:
    """A clock that stands where the test puts it."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns

    def monotonic_ns(self) -> int:
        return self.ns


def test_a_bucket_lets_a_burst_through_and_then_the_rate() -> None:
    bucket, waits = Bucket(per_s=10, burst=3), []
    for _ in range(6):
        waits.append(bucket.wait_s(1, 0))
        bucket.take(1)
    assert waits == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])
    assert bucket.wait_s(1, 10 * NS_PER_S) == 0


def test_a_call_heavier_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    bucket = Bucket(per_s=10, burst=10)
    assert bucket.wait_s(50, 0) == 0
    bucket.take(50)
    assert bucket.wait_s(1, 0) == pytest.approx(4.1)


def test_without_a_rate_only_a_pause_holds_back() -> None:
    bucket = Bucket(per_s=0, burst=1)
    bucket.take(10_000)
    assert bucket.wait_s(1, 0) == 0
    bucket.pause(5 * NS_PER_S)
    bucket.pause(2 * NS_PER_S)
    assert bucket.wait_s(1, NS_PER_S) == 4
    assert bucket.wait_s(1, 6 * NS_PER_S) == 0


async def test_a_call_that_cannot_be_in_time_is_refused_at_once_and_costs_nothing() -> None:
    clock = SetClock()
    budget = Budget("node", BudgetConfig(weight_per_s=1, burst_weight=1), clock)
    assert await budget.admit(["eth_chainId"], 1.0) == 1.0
    for _ in range(3):
        with pytest.raises(RateLimited) as raised:
            await budget.admit(["eth_chainId"], 0.5)
        assert raised.value.retry_after_s == pytest.approx(1.0)
    assert (budget.refused, budget.waited) == (3, 0)


async def test_waiting_takes_from_the_deadline() -> None:
    config = BudgetConfig(weight_per_s=100, burst_weight=1)
    budget = Budget("node", config, HostClock())
    lefts = await asyncio.gather(*[budget.admit(["eth_chainId"], 1.0) for _ in range(4)])
    assert lefts == pytest.approx([1.0, 0.99, 0.98, 0.97], abs=0.005)
    assert budget.waited == 3


async def test_retry_after_is_honoured_up_to_its_limit_and_for_its_own_kind_only() -> None:
    clock = SetClock()
    budget = Budget("node", BudgetConfig(pause_ms_max=5_000), clock)
    budget.limited(["eth_getLogs"], RateLimited("node", 86_400.0))
    with pytest.raises(RateLimited) as raised:
        await budget.admit(["eth_call"], 1.0)
    assert raised.value.retry_after_s == 5.0
    assert await budget.admit(["eth_sendRawTransaction"], 1.0) == 1.0
    clock.ns = 5 * NS_PER_S
    assert await budget.admit(["eth_call"], 1.0) == 1.0


@pytest.mark.parametrize("key", ["burst_weight", "burst_sends", "pause_ms_max", "weight_per_s"])
def test_a_figure_out_of_range_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        BudgetConfig(**{key: -1})
