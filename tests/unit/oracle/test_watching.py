"""A contract's views as a source: when it looks, what it posts, what it tells; Pyth's in full."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointUnreachable, MalformedReply
from keeper.domain.events import Event, Log, PayloadReceived, PriceObserved, Ticked
from keeper.oracle.pyth import GET_PRICE_UNSAFE, GET_UPDATE_FEE, PythWatch, Sampled
from keeper.oracle.settings import OracleSettings
from keeper.ports import CallFailed, Header, Post
from tests.unit.oracle.outside_server import until


PYTH, ID = "0x" + "f3" * 20, "0x" + "e1" * 32
USD = 10**8


def answer(*numbers: int) -> str:
    return "0x" + "".join(f"{number % 2**256:064x}" for number in numbers)


class Contract:
    """A `ChainReader` over one Pyth contract at a head that a test moves."""

    def __init__(self) -> None:
        self.number = 100
        self.stored: str | CallFailed = answer(2_000 * USD, USD, -8, 1_000)
        self.fee: str | CallFailed = answer(7)
        self.asked: list[tuple[str, str]] = []
        self.down = False
        self.looks = 0

    async def header(self, number: int | str) -> Header:
        assert number == "latest"
        self.looks += 1
        if self.down:
            raise EndpointUnreachable("node", "is down")
        return Header(self.number, f"0x{self.number:064x}", "0x", 1_000, 1, 1)

    async def call_many(
        self, calls: Sequence[tuple[str, str]], block: str, gas: int | None = None
    ) -> list[str | CallFailed]:
        assert block == f"0x{self.number:064x}", "every view is of the head that was looked at"
        self.asked += calls
        answers = {GET_PRICE_UNSAFE: self.stored, GET_UPDATE_FEE: self.fee}
        assert all(to == PYTH for to, _ in calls)
        return [answers[data[:10]] for _, data in calls]

    async def logs(
        self, addresses: Sequence[str], topics: Sequence[str], first: int, last: int
    ) -> list[tuple[int, str, Log]]:
        return []

    async def code(self, address: str, block: str) -> str:
        return "0x00"


class Stand:
    """A watch on one price, looking when it is told to."""

    def __init__(self, samples: dict[str, str] | None = None, **changes: Any) -> None:
        fields = {"name": "pyth_eth", "kind": "pyth", "underlying": "ETH", "reread_blocks": 1}
        settings = OracleSettings(**{**fields, "feed": PYTH, "price_id": ID, **changes})
        self.contract = Contract()
        self.events: list[Event] = []
        self.told: list[Notice] = []
        self.samples = {} if samples is None else samples
        self._watch = PythWatch(settings, self.contract, self.told.append, self.samples)

    async def looks(self, number: int) -> None:
        self.contract.number = number
        await self._watch.look(self.events.append)

    async def runs(self) -> None:
        await self._watch.run(self.events.append)


async def test_the_stored_price_is_posted_as_it_is() -> None:
    stand = Stand(decimals=8, feed_heartbeat_s=90, confidence_min_ppm=5)
    stand.contract.stored = answer(-2_000 * USD, USD, -8, 1_000)
    await stand.looks(1)
    fields = ("pyth_eth", "ETH", PYTH, ID, -2_000 * USD, USD, 8, 8, 1_000, 90, 5, 0)
    assert stand.events == [PriceObserved(*fields)]
    assert stand.contract.asked == [(PYTH, GET_PRICE_UNSAFE + ID[2:])]


async def test_it_looks_every_few_blocks_and_posts_only_what_has_changed() -> None:
    stand = Stand(reread_blocks=3)
    for number in range(1, 9):
        await stand.looks(number)
    assert (len(stand.contract.asked), len(stand.events)) == (3, 1)
    stand.contract.stored = answer(2_001 * USD, USD, -8, 1_001)
    await stand.looks(9)
    assert len(stand.events) == 1, "the third block since has not come"
    await stand.looks(10)
    assert len(stand.events) == 2


async def test_a_chain_that_went_back_is_looked_at_again() -> None:
    stand = Stand(reread_blocks=50)
    await stand.looks(100)
    await stand.looks(90)
    assert len(stand.contract.asked) == 2


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        (CallFailed("0x14aebe68"), "holds no price"),
        ("0x", "0 digits"),
        (answer(1, 1, -8), "192 digits"),
        (answer(2**63, 1, -8, 1), "does not fit"),
        (answer(-(2**63) - 1, 1, -8, 1), "does not fit"),
        (answer(1, 2**64, -8, 1), "does not fit"),
        (answer(1, 1, -33, 1), "does not fit"),
        (answer(1, 1, 33, 1), "does not fit"),
        (answer(1, 1, -8, 2**63), "does not fit"),
    ],
)
async def test_what_is_no_price_is_malformed_and_posts_nothing(
    stored: str | CallFailed, problem: str
) -> None:
    stand = Stand()
    stand.contract.stored = stored
    with pytest.raises(MalformedReply, match=problem):
        await stand.looks(1)
    assert stand.events == []


async def test_a_contract_that_cannot_be_read_is_told_once_and_read_again() -> None:
    stand = Stand(poll_ms=1)
    stand.contract.down = True
    async with asyncio.TaskGroup() as parts:
        running = parts.create_task(stand.runs())
        await until("many looks", lambda: stand.contract.looks > 5)
        assert [dict(each.fields)["problem"] for each in stand.told] == ["is down"]
        stand.contract.down = False
        await until("the price", lambda: bool(stand.events))
        stand.contract.stored = CallFailed("0x")
        stand.contract.number += 1
        await until("the next fault", lambda: len(stand.told) == 2)
        running.cancel()
    assert {each.kind for each in stand.told} == {"oracle_unread"}


async def test_the_fee_is_that_of_the_newest_update_heard() -> None:
    stand = Stand(samples={PYTH: "0xabcd", "0x" + "f4" * 20: "0x99"})
    await stand.looks(1)
    (found,) = stand.events
    assert isinstance(found, PriceObserved)
    assert found.fee_wei == 7
    _, asked = stand.contract.asked[1]
    words = [int(asked[at : at + 64], 16) for at in range(10, len(asked) - 64, 64)]
    assert words == [32, 1, 32, 2]
    assert asked[-64:] == "abcd" + "0" * 60


async def test_an_update_that_the_contract_cannot_count_costs_no_look() -> None:
    stand = Stand(samples={PYTH: "0xabcd"})
    stand.contract.fee = CallFailed("0x")
    await stand.looks(1)
    (found,) = stand.events
    assert isinstance(found, PriceObserved)
    assert found.fee_wei == 0


async def test_updates_that_pass_are_kept_for_their_fee_and_go_on_as_they_are() -> None:
    update = PayloadReceived("hermes", PYTH, "0xab", 1, 2)
    said = [Ticked(), update, PayloadReceived("hermes", PYTH, "0xcd", 2, 3)]

    class Speaks:
        async def run(self, post: Post) -> None:
            for each in said:
                post(each)

    samples: dict[str, str] = {}
    heard: list[Event] = []
    await Sampled(Speaks(), samples).run(heard.append)
    assert heard == said
    assert samples == {PYTH: "0xcd"}
