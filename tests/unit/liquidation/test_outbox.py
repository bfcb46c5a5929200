"""The outbox: at most one live action an account, rests that double, ends told twice."""

import pytest

from keeper.domain.errors import InvariantViolation
from keeper.liquidation.outbox import CooldownRule, Outbox


def outbox() -> Outbox:
    return Outbox(CooldownRule(first_blocks=1, most_blocks=8))


def test_an_account_with_a_live_action_is_not_free() -> None:
    box = outbox()
    box.open("derive", 7, "start", 10)

    assert not box.free("derive", 7, 11)
    assert box.free("derive", 8, 11)
    assert box.free("other", 7, 11)


def test_a_second_action_for_the_same_account_is_a_bug() -> None:
    box = outbox()
    box.open("derive", 7, "start", 10)

    with pytest.raises(InvariantViolation, match="live action"):
        box.open("derive", 7, "bid", 11)


def test_ids_count_up_from_where_the_ledger_ended() -> None:
    box = outbox()
    box.start_from(41)

    assert box.open("derive", 1, "start", 10) == 41
    assert box.open("derive", 2, "start", 10) == 42
    with pytest.raises(InvariantViolation, match="go back"):
        box.start_from(3)


def test_an_end_told_twice_changes_nothing() -> None:
    box = outbox()
    command = box.open("derive", 7, "start", 10)

    assert box.close(command) is not None
    assert box.close(command) is None
    assert box.free("derive", 7, 10)


def test_rests_double_up_to_the_most_and_are_forgiven() -> None:
    box = outbox()
    untils = []
    for number in (0, 100, 200, 300, 400, 500):
        live = box.close(box.open("derive", 7, "start", number))
        assert live is not None
        untils.append(box.rest(live, number) - number)

    assert untils == [1, 2, 4, 8, 8, 8]
    assert not box.free("derive", 7, 507)
    assert box.free("derive", 7, 508)

    box.forgive(live)
    assert box.rest(live, 600) == 601


def test_an_orphaned_action_is_live_again_also_beside_a_newer_one() -> None:
    box = outbox()
    command = box.open("derive", 7, "start", 10)
    live = box.close(command)
    assert live is not None

    box.reopen(command, live)
    assert not box.free("derive", 7, 11)

    box.close(command)
    newer = box.open("derive", 7, "bid", 12)
    box.reopen(command, live)
    assert box.close(newer) is not None
    assert not box.free("derive", 7, 13)
    assert box.close(command) == live
    assert box.free("derive", 7, 13)


def test_old_rests_are_forgotten() -> None:
    box = outbox()
    live = box.close(box.open("derive", 7, "start", 0))
    assert live is not None
    box.rest(live, 0)
    box.rest(live, 10)

    box.expire(10_000)

    assert box.rest(live, 20_000) == 20_001
