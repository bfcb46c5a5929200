"""The judge: it finds what was missed and what was late, and can find both."""

from deploy.devnet.judge.truth import BlockTruth
from deploy.devnet.judge.verdict import Start, judge, quantile


def blocks(*allowed: tuple[int, ...]) -> list[BlockTruth]:
    return [BlockTruth(number, each, len(each)) for number, each in enumerate(allowed, start=1)]


def test_allowed_at_two_blocks_running_and_never_started_is_missed() -> None:
    verdict = judge(blocks((7,), (7,), ()), [], 64, ())
    assert [each.account for each in verdict.missed] == [7]


def test_allowed_up_to_the_last_block_and_never_started_is_missed() -> None:
    verdict = judge(blocks((), (7,), (7,)), [], 64, ())
    assert [each.account for each in verdict.missed] == [7]


def test_allowed_at_one_block_only_is_not_missed() -> None:
    verdict = judge(blocks((7,), (), (7,)), [], 64, ())
    assert verdict.missed == ()
    assert len(verdict.stretches) == 2


def test_a_start_right_after_the_first_allowed_block_has_latency_one() -> None:
    verdict = judge(blocks((7,), ()), [Start(2, 7, insolvent=False)], 64, ())
    assert verdict.latencies == (1,)
    assert verdict.late == ()


def test_a_start_two_blocks_on_is_late_where_breaches_fit_the_lanes() -> None:
    verdict = judge(blocks((7,), (7,), ()), [Start(3, 7, insolvent=False)], 64, ())
    assert verdict.missed == ()
    assert [each.latency for each in verdict.late] == [2]


def test_a_late_start_is_excused_where_breaches_did_not_fit_the_lanes() -> None:
    truths = blocks((7, 8, 9), (7,), ())
    starts = [Start(2, 8, insolvent=False), Start(2, 9, insolvent=False)]
    verdict = judge(truths, [*starts, Start(3, 7, insolvent=False)], 2, ())
    assert max(verdict.latencies) == 2
    assert verdict.late == ()
    assert verdict.fitting_latencies == ()


def test_auctions_that_are_live_take_their_share_of_the_lanes() -> None:
    truths = [BlockTruth(1, (7,), 1, live=2), BlockTruth(2, (7,), 1), BlockTruth(3, (), 0)]
    starts = [Start(3, 7, insolvent=False)]
    assert judge(truths, starts, 2, ()).late == ()
    assert len(judge(truths, starts, 3, ()).late) == 1


def test_an_earlier_start_does_not_excuse_a_later_stretch() -> None:
    truths = blocks((7,), (), (7,), (7,), ())
    verdict = judge(truths, [Start(2, 7, insolvent=False)], 64, ())
    assert [(each.first, each.last) for each in verdict.missed] == [(3, 4)]


def test_a_start_in_the_block_of_its_breach_counts_zero() -> None:
    start = Start(2, 7, insolvent=True)
    verdict = judge(blocks((), (), ()), [start], 64, ())
    assert verdict.latencies == (0,)
    assert verdict.started_unseen == (start,)


def test_accounts_of_the_keeper_itself_are_counted_apart() -> None:
    verdict = judge(blocks((7, 8), (7,), (7,)), [Start(2, 8, insolvent=False)], 64, {7})
    assert verdict.missed == ()
    assert [each.account for each in verdict.own] == [7]
    assert [each.account for each in verdict.stretches] == [8]


def test_breaches_of_one_block_are_those_that_begin_there() -> None:
    verdict = judge(blocks((1, 2), (1, 2, 3), ()), [], 64, ())
    assert verdict.breaches_per_block_max == 2


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([], 0.5) == 0.0
