"""Which routes get which bytes: private first, public by policy, the better first."""

from dataclasses import replace

import pytest

from keeper.chain.ledger.rows import CANCEL, FILL, Delivery
from keeper.chain.routes.book import SLOTS_REMEMBERED_MAX, RouteBook, RoutePolicy
from keeper.chain.routes.nodes import MevBlockerRoute, SequencerRoute
from keeper.chain.routes.routing import Answer, hash_of
from keeper.domain.errors import DeadlineExceeded
from tests.unit.chain.fake_node import FakeNode
from tests.unit.chain.lane_bench import attempt


class Named:
    """A route that is only a name; it learns of heads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.head = 0

    def see(self, number: int) -> None:
        self.head = number

    async def send(self, raw: bytes) -> Answer:
        return Answer("accepted")


def book(public: str = "ab", private: str = "", **policy) -> RouteBook:
    made = RouteBook(
        [Named(each) for each in public], [Named(each) for each in private], RoutePolicy(**policy)
    )
    made.see(100)
    return made


def chosen(made: RouteBook, each=None) -> str:
    return "".join(route.name for route in made.choose(each or attempt()))


def answered(made: RouteBook, name: str, outcome: str, times: int = 1, latency_us: int = 9) -> None:
    for _ in range(times):
        made.score([Delivery("0x", name, 0, outcome, None, latency_us)])


def test_without_private_routes_all_goes_public_at_once() -> None:
    assert chosen(book("ab")) == "ab"


def test_private_bytes_go_public_only_after_the_blocks_of_the_policy() -> None:
    made = book("ab", "xy", public_after_blocks=3)
    for number, routes in ((100, "xy"), (102, "xy"), (103, "xyab"), (101, "xyab")):
        made.see(number)
        assert chosen(made) == routes, number


@pytest.mark.parametrize(
    ("policy", "routes"), [({"public_ever": False}, "x"), ({"public_after_blocks": 0}, "xa")]
)
def test_public_may_be_never_or_from_the_first(policy: dict, routes: str) -> None:
    made = book("a", "x", **policy)
    assert chosen(made) == routes
    made.see(10_000)
    assert chosen(made) == routes


def test_the_blocks_of_a_slot_count_from_its_first_bytes_not_from_its_bump() -> None:
    made = book("a", "x", public_after_blocks=3)
    assert chosen(made, attempt()) == "x"
    made.see(103)
    assert chosen(made, replace(attempt(), seq=1, hash="0x" + "77" * 32)) == "xa"
    assert chosen(made, replace(attempt(), nonce=99)) == "x"


@pytest.mark.parametrize("kind", [FILL, CANCEL])
def test_fills_and_cancels_have_nothing_to_hide(kind: str) -> None:
    assert chosen(book("a", "x"), replace(attempt(), kind=kind)) == "xa"


def test_a_route_that_fails_is_left_out_until_it_is_forgiven() -> None:
    made = book("ab")
    answered(made, "a", "no_answer", times=9)
    assert made.scores["a"].success < 0.2
    assert chosen(made) == "b"
    made.see(112)
    assert chosen(made) == "ba"


def test_where_all_fail_all_are_asked() -> None:
    made = book("ab")
    for name in "ab":
        answered(made, name, "lied", times=20)
    assert chosen(made) == "ab"


@pytest.mark.parametrize("outcome", ["accepted", "known", "nonce_too_low", "underpriced"])
def test_what_a_node_says_of_the_bytes_is_not_held_against_it(outcome: str) -> None:
    made = book("ab")
    answered(made, "a", outcome, times=20)
    assert made.scores["a"].success == 1.0


def test_of_equally_good_routes_the_quicker_comes_first() -> None:
    made = book("ab")
    answered(made, "a", "accepted", latency_us=900)
    answered(made, "b", "accepted", latency_us=100)
    assert chosen(made) == "ba"
    answered(made, "b", "accepted", times=60, latency_us=5_000)
    assert chosen(made) == "ab"


def test_heads_reach_the_routes_that_name_blocks_also_backwards() -> None:
    route = Named("x")
    made = RouteBook([], [route])
    for number in (7, 9, 8):
        made.see(number)
        assert route.head == number


def test_what_is_remembered_of_slots_is_bounded() -> None:
    made = book("a", "x")
    for nonce in range(SLOTS_REMEMBERED_MAX + 50):
        made.choose(replace(attempt(), nonce=nonce))
    assert len(made._first) == SLOTS_REMEMBERED_MAX


async def test_a_sequencer_is_not_given_more_than_it_takes_and_has_longer_to_answer() -> None:
    node = FakeNode()
    deadlines = []

    class Asked:
        name = "sequencer"

        async def call(self, method, params, *, deadline_s):
            deadlines.append(deadline_s)
            return await node.call(method, params, deadline_s=deadline_s)

    raw = b"\x02" * 50
    node.script["eth_sendRawTransaction"] = lambda _: hash_of(raw)
    route = SequencerRoute(Asked())
    assert await route.send(raw) == Answer("accepted")
    assert await route.send(bytes(95_001)) == Answer("too_large")
    assert deadlines == [12.0]


async def test_a_blocker_that_names_other_bytes_lied_and_one_that_is_silent_said_nothing() -> None:
    node = FakeNode()
    node.script["eth_sendRawTransaction"] = lambda _: "0x" + "00" * 32
    assert await MevBlockerRoute(node).send(b"\x02") == Answer("lied")
    node.script["eth_sendRawTransaction"] = lambda _: DeadlineExceeded("blocker", "2 s")
    assert await MevBlockerRoute(node).send(b"\x02") == Answer("no_answer")
