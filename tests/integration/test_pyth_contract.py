"""Pyth's own mock, read and brought updates by our code, and a keeper that is checked by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract, Sender
from deploy.devnet.chain.node import Node
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader, ReaderConfig
from keeper.cli import main
from keeper.domain.errors import MalformedReply
from keeper.domain.events import Event, PriceObserved
from keeper.domain.units import WAD
from keeper.market import pyth
from keeper.market.opinions import Opinions
from keeper.market.payloads import Payload, PayloadRule
from keeper.market.quotes import JudgeRule, QuoteRule, QuoteState
from keeper.oracle import hermes
from keeper.oracle.pyth import PythWatch
from keeper.oracle.settings import OracleSettings
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.pyth_stand import FEED_ID, PythStand, block_time, update
from tests.integration.signed_page import SignedPage, signed_page
from tests.unit.market.pyth_bytes import USD, frame


pytestmark = pytest.mark.node

ID = "0x" + FEED_ID.hex()
LASTS_S = 60
MARGIN_S = 5


@pytest.fixture
def sender(node: Node) -> Sender:
    return Sender(node.rpc, node.call("eth_accounts")[0])


# ── the contract ──


class Reading:
    """What a run would make of the mock: a watch on one price, and what is said of it."""

    def __init__(self, stand: PythStand) -> None:
        self.address = stand.pyth.address.lower()
        self.key = (self.address, ID)
        self.samples: dict[str, str] = {}
        self.opinions = Opinions(JudgeRule(), QuoteRule(), PayloadRule(margin_s=MARGIN_S))
        self.events: list[Event] = []
        self._node = stand.node
        shared: dict[str, Any] = {"feed": self.address, "update_age_s_max": LASTS_S}
        price: dict[str, Any] = {"price_id": ID, "underlying": "ETH", "feed_heartbeat_s": LASTS_S}
        self._settings = OracleSettings(
            name="pyth_eth", kind="pyth", reread_blocks=1, **price, **shared
        )
        url = "https://hermes.example"
        self._hermes = OracleSettings(name="hermes", kind="pyth_updates", stream_url=url, **shared)

    def looks(self) -> PriceObserved:
        """Read the contract at its head."""
        asyncio.run(self._look())
        found = self.events[-1]
        assert isinstance(found, PriceObserved)
        self.opinions.pulls.hear_price(found)
        return found

    async def _look(self) -> None:
        async with RpcHttp("node", self._node.url) as rpc:
            reader = NodeReader(rpc, ReaderConfig())
            await PythWatch(self._settings, reader, lambda _: None, self.samples).look(
                self.events.append
            )

    def hears(self, data: bytes) -> None:
        """Hear an update as the price service says it."""
        (said,) = hermes.updates(self._hermes, frame([data], pyth.prices(data))).values()
        self.samples[self.address] = said.payload
        self.opinions.pulls.hear_update(said)


def test_a_price_is_read_as_the_contract_answers_it(node: Node, sender: Sender) -> None:
    stand, now = PythStand(node, sender), block_time(node)
    reading = Reading(stand)
    with pytest.raises(MalformedReply, match="no price of this id"):
        reading.looks()
    data = update(2_000 * USD, now, confidence=20 * USD)
    stand.send(pyth.update_call(stand.pyth.address, [Payload(data, now, now, 1)]))
    seen = reading.looks()
    assert (seen.price, seen.confidence, -seen.decimals, seen.published_s) == stand.price()
    assert reading.opinions.second("ETH", now) == 2_000 * WAD
    node.call("evm_mine", now + LASTS_S + 1)
    assert reading.opinions.reference("ETH", block_time(node)) is QuoteState.STALE


def test_an_update_that_was_heard_is_taken_by_the_contract_with_the_fee_it_asked(
    node: Node, sender: Sender
) -> None:
    stand, now = PythStand(node, sender), block_time(node)
    reading = Reading(stand)
    first = update(1_900 * USD, now - 500)
    stand.send(pyth.update_call(stand.pyth.address, [Payload(first, now, now, 1)]))
    reading.looks()
    now = block_time(node)
    reading.hears(update(2_000 * USD, now - 20))
    reading.looks()
    assert reading.opinions.second("ETH", now) == 2_000 * WAD, "it counts before it is brought"
    (chosen,) = reading.opinions.pulls.bring([reading.key], now)
    assert chosen.fee_wei == 1
    stand.send(pyth.update_call(stand.pyth.address, [chosen]))
    assert stand.price()[0] == 2_000 * USD
    reading.looks()
    assert reading.opinions.pulls.bring([reading.key], block_time(node)) == ()


@pytest.mark.parametrize("age_s", [LASTS_S - MARGIN_S + 1, -1])
def test_an_update_outside_its_validity_is_not_offered_and_would_not_be_read(
    node: Node, sender: Sender, age_s: int
) -> None:
    stand, now = PythStand(node, sender), block_time(node)
    reading = Reading(stand)
    first = update(1_900 * USD, now - 500)
    stand.send(pyth.update_call(stand.pyth.address, [Payload(first, now, now, 1)]))
    reading.looks()
    now = block_time(node)
    reading.hears(update(2_000 * USD, now - age_s))
    assert reading.opinions.pulls.bring([reading.key], now) == ()
    # What is of the next second counts in its block; what is too old for ours never again.
    assert bool(reading.opinions.pulls.bring([reading.key], now + 1)) == (age_s < 0)


# ── a keeper ──


class Pulled:
    """A rig whose ETH spot is checked by a Pyth mock, fed by a test and by a price service."""

    def __init__(self, rig: Rig, page: SignedPage) -> None:
        self.rig = rig
        self.pyth: Contract = rig.sender.deploy("PythWorld", LASTS_S, 0)
        rig.mine()
        self._page = page

    def stores(self, usd: int, *, confidence: int = 0, exponent: int = -8) -> None:
        """Have the contract hold a price of now; in a block of its own."""
        data = update(usd * USD, self.rig.now, confidence * USD, exponent)
        self.rig.do(self.pyth, "updatePriceFeeds", [data])

    def publishes(self, usd: int) -> None:
        """Have the price service show an update of now."""
        data = update(usd * USD, self.rig.now)
        self._page.items[:] = [frame([data], pyth.prices(data))]

    def document(self) -> dict[str, Any]:
        document = self.rig.document()
        document["venues"]["derive"]["quotes"] = {"checked": ["ETH"]}
        document["venues"]["derive"]["payloads"] = {"margin_s": MARGIN_S}
        price = {"name": "pyth_eth", "kind": "pyth", "underlying": "ETH", "price_id": ID}
        price |= {"feed": self.pyth.address, "feed_heartbeat_s": LASTS_S, "decimals": 8}
        updates = {**self._page.settings, "name": "hermes", "kind": "pyth_updates"}
        updates |= {"items_path": "data.0", "feed": self.pyth.address}
        document["oracles"] = [{**price, "reread_blocks": 1, "poll_ms": 20}, updates]
        return document

    def keeper(self) -> KeeperProcess:
        """A keeper that checks by this price, once it has read it."""
        made = self.rig.follow(self.rig.process(self.document()))
        made.wait("the price was read", lambda: made.events("PriceObserved"))
        return made

    def seen(self, keeper: KeeperProcess, kind: str, change: Callable[[], None]) -> None:
        """Change something, and wait until the keeper has heard of it."""
        count = len(keeper.events(kind))
        change()
        keeper.wait("it is heard", lambda: len(keeper.events(kind)) > count)


@pytest.fixture
def pulled(tmp_path: Path) -> Iterator[Pulled]:
    with signed_page() as page, rig_in(tmp_path, SHORT_VENUE) as rig:
        made = Pulled(rig, page)
        made.stores(3_000)
        yield made


def test_a_pyth_price_checks_a_spot_like_any_other_feed(pulled: Pulled) -> None:
    keeper = pulled.keeper()
    assert pulled.rig.play(keeper, after_s=1)["quotes_not_ok"] == []
    for store, state in (
        (lambda: pulled.stores(3_500), "SUSPECT"),
        (lambda: pulled.stores(3_000, confidence=400), "SUSPECT"),
        (lambda: pulled.stores(-3_000), "HALTED"),
        (lambda: pulled.stores(3_000, exponent=-5), "HALTED"),
    ):
        pulled.seen(keeper, "PriceObserved", store)
        line = pulled.rig.play(keeper, after_s=1)
        assert line["quotes_not_ok"] == [f"ETH.spot={state}"]
        pulled.seen(keeper, "PriceObserved", lambda: pulled.stores(3_000))
        assert pulled.rig.play(keeper, after_s=1)["quotes_not_ok"] == []


def test_a_price_that_nobody_brought_for_long_is_doubted_until_an_update_is_heard(
    pulled: Pulled,
) -> None:
    rig, keeper = pulled.rig, pulled.keeper()
    assert rig.play(keeper, after_s=LASTS_S + 10)["quotes_not_ok"] == ["ETH.spot=SUSPECT"]
    pulled.seen(keeper, "PayloadReceived", lambda: pulled.publishes(3_000))
    assert rig.play(keeper, after_s=1)["quotes_not_ok"] == []
    pulled.seen(keeper, "PayloadReceived", lambda: pulled.publishes(3_500))
    assert rig.play(keeper, after_s=1)["quotes_not_ok"] == ["ETH.spot=SUSPECT"]
    assert keeper.lines("payload_malformed") == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("none", "3000 within 0 either way, "),
        ("unknown", "holds no price of this id"),
        ("old", "stale"),
        ("old but brought", "3000 within 0"),
        ("negative", "no price"),
        ("decimals", "decimals are 8"),
        ("no code", "0 digits"),
    ],
)
def test_check_tells_of_the_price_that_would_be_read(
    pulled: Pulled, capsys: pytest.CaptureFixture[str], fault: str, said: str
) -> None:
    document = pulled.document()
    price = document["oracles"][0]
    if fault != "old but brought":
        document["oracles"] = [price]
    if fault == "unknown":
        price["price_id"] = "0x" + "22" * 32
    if fault == "decimals":
        price["decimals"] = 18
    if fault == "no code":
        price["feed"] = "0x" + "77" * 20
    if fault == "negative":
        pulled.rig.at(12)
        pulled.stores(-1)
    if fault.startswith("old"):
        pulled.rig.at(500)
    keeper = pulled.rig.process(document)
    good = fault in ("none", "old but brought")
    assert main(["check", "-c", str(keeper.config)]) == (0 if good else 66)
    lines = capsys.readouterr().out.splitlines()
    (line,) = [each for each in lines if "oracles.pyth_eth:" in each]
    assert said in line
    assert line.startswith("ok" if good else "BAD")
