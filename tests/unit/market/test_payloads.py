"""Signed data: which are kept, for how long, and which one goes along."""

from hypothesis import given
from hypothesis import strategies as st

from keeper.market.payloads import KEYS_MAX, Payload, PayloadRule, Payloads, Policy


NOW = 1_000


def held(policy: Policy, *payloads: Payload, kept_max: int = 8) -> Payloads[str]:
    made: Payloads[str] = Payloads(PayloadRule(policy, margin_s=15, kept_max=kept_max))
    for payload in payloads:
        made.keep("spot", payload)
    return made


NEW_BUT_SHORT = Payload(b"new", 990, 1_010)
OLD_BUT_LONG = Payload(b"old", 980, 2_000)


def test_the_newest_that_counts_is_chosen_by_best_valid_and_none_by_latest_only() -> None:
    both = (NEW_BUT_SHORT, OLD_BUT_LONG)
    assert held("best_valid", *both).chosen("spot", NOW, 0) == OLD_BUT_LONG
    assert held("latest_only", *both).chosen("spot", NOW, 0) is None
    for policy in ("best_valid", "latest_only"):
        assert held(policy, *both).chosen("spot", 995, 0) == NEW_BUT_SHORT


def test_it_must_count_as_much_longer_as_the_margin_says() -> None:
    assert held("best_valid", Payload(b"a", 990, 1_015)).chosen("spot", NOW, 0) is not None
    assert held("best_valid", Payload(b"a", 990, 1_014)).chosen("spot", NOW, 0) is None


def test_what_is_no_newer_than_the_feed_is_not_brought() -> None:
    data = held("best_valid", OLD_BUT_LONG)
    assert data.chosen("spot", NOW, 979) == OLD_BUT_LONG
    assert data.chosen("spot", NOW, 980) is None


def test_what_is_of_a_later_second_waits_for_its_block() -> None:
    data = held("best_valid", Payload(b"a", 1_001, 2_000))
    assert data.chosen("spot", NOW, 0) is None
    assert data.chosen("spot", 1_001, 0) is not None


def test_an_unknown_feed_has_nothing_to_bring() -> None:
    assert held("best_valid", OLD_BUT_LONG).chosen("vol", NOW, 0) is None


def test_data_are_forgotten_once_they_count_no_more() -> None:
    data = held("best_valid", NEW_BUT_SHORT, OLD_BUT_LONG)
    data.expire(1_011)
    assert len(data) == 1
    data.expire(2_001)
    assert (len(data), list(data)) == (0, [])


def test_what_the_chain_refused_is_not_taken_again() -> None:
    data = held("best_valid", OLD_BUT_LONG)
    data.forget([b"old"])
    assert data.chosen("spot", NOW, 0) is None
    assert not data.keep("spot", OLD_BUT_LONG)
    assert data.keep("spot", Payload(b"other", 980, 2_000))


def test_the_same_data_are_kept_once_and_those_that_never_count_not_at_all() -> None:
    data = held("best_valid", OLD_BUT_LONG, OLD_BUT_LONG, Payload(b"x", 10, 9))
    assert len(data) == 1


@given(st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99), st.binary(max_size=2))))
def test_no_more_than_the_limit_is_kept_and_it_is_the_newest(
    given_: list[tuple[int, int, bytes]],
) -> None:
    payloads = [Payload(data, at, at + lasts) for at, lasts, data in given_]
    data = held("best_valid", *payloads, kept_max=3)
    newest = sorted({each.published_s for each in payloads})
    assert len(data) == min(3, len(set(payloads)))
    if payloads:
        found = data.chosen("spot", newest[-1], 0)
        assert found is None or found.published_s <= newest[-1]
        assert data.chosen("spot", newest[-1] + 10_000, 0) is None


def test_more_feeds_than_the_limit_are_not_taken() -> None:
    data: Payloads[int] = Payloads(PayloadRule())
    for key in range(KEYS_MAX):
        assert data.keep(key, OLD_BUT_LONG)
    assert not data.keep(KEYS_MAX, OLD_BUT_LONG)
    assert data.keep(0, NEW_BUT_SHORT)
