"""The clock check refuses what is too far off either way, and 0 refuses nothing."""

import pytest

from keeper.chain.link.skew import check_skew
from keeper.domain.errors import ChainMismatch
from keeper.domain.units import NS_PER_S
from keeper.ports import Header


NOW_S = 1_800_000_000


class Clock:
    def now_ns(self) -> int:
        return NOW_S * NS_PER_S

    def monotonic_ns(self) -> int:
        return 0


def head(timestamp: int) -> Header:
    return Header(7, "0x" + 64 * "1", "0x" + 64 * "2", timestamp, 1, 30_000_000)


@pytest.mark.parametrize("off_s", [-60, -1, 0, 60])
def test_a_head_near_our_clock_is_taken(off_s: int) -> None:
    check_skew(Clock(), head(NOW_S + off_s), 60)


@pytest.mark.parametrize("off_s", [-61, 61, 10**9])
def test_a_head_far_from_our_clock_is_refused_and_says_what_to_do(off_s: int) -> None:
    with pytest.raises(ChainMismatch, match="set this machine's clock"):
        check_skew(Clock(), head(NOW_S + off_s), 60)


def test_a_chain_in_a_time_of_its_own_is_taken_with_0() -> None:
    check_skew(Clock(), head(1), 0)
