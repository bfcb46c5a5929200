"""After a halt the first blocks are for upkeep; bids wait, and a reorg forgets what it undid."""

import pytest

from keeper.liquidation.halt import BLOCKS_REMEMBERED_MAX, Halt, HaltRule
from keeper.liquidation.strategy import Service


def halt(*blocks: tuple[int, int], gap_s: int = 60, hold_blocks: int = 3) -> Halt:
    made = Halt(HaltRule(gap_s, hold_blocks))
    for number, timestamp in blocks:
        made.see(number, timestamp)
    return made


def held(made: Halt, *numbers: int) -> list[bool]:
    return [not made.allows(Service.BID, number) for number in numbers]


def test_bids_wait_for_the_first_blocks_after_a_halt() -> None:
    made = halt((10, 1_000), (11, 4_600), (12, 4_602), (13, 4_604), (14, 4_606))
    assert held(made, 11, 12, 13, 14) == [True, True, True, False]


@pytest.mark.parametrize(("gap", "halted"), [(59, False), (60, True)])
def test_a_gap_is_a_halt_from_its_length_on(gap: int, halted: bool) -> None:
    made = halt((10, 1_000))
    assert made.see(11, 1_000 + gap) is halted
    assert held(made, 11) == [halted]


@pytest.mark.parametrize("service", [each for each in Service if each is not Service.BID])
def test_starts_and_upkeep_do_not_wait(service: Service) -> None:
    assert halt((10, 1_000), (11, 9_000)).allows(service, 11)


def test_the_first_block_ever_seen_ends_no_halt() -> None:
    assert held(halt((10, 10**9)), 10) == [False]


def test_a_halt_that_a_reorg_undid_is_forgotten_and_one_on_the_new_branch_is_seen() -> None:
    made = halt((10, 1_000), (11, 4_600))
    made.rewind(10)
    assert made.see(11, 1_002) is False
    assert held(made, 11) == [False]
    made.rewind(10)
    assert made.see(11, 1_060) is True


def test_a_rule_without_a_gap_never_holds() -> None:
    assert held(halt((10, 0), (11, 10**9), gap_s=0), 11) == [False]


def test_what_is_remembered_is_bounded() -> None:
    made = halt(*((number, number) for number in range(2_000)))
    assert len(made._blocks) == BLOCKS_REMEMBERED_MAX
