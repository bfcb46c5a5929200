"""Row 27 of the fault matrix: a feed that says any number at all, and what is then not done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract
from deploy.devnet.chain.outside import chainlink
from deploy.devnet.venue.parameters import wad
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node

USD = 10**8
SPOT_STALE_S = 180


@dataclass
class Mocked:
    """A rig whose ETH spot is checked by a mock feed that can be made to answer anything."""

    rig: Rig
    feed: Contract
    round: int = 10

    def answers(self, answer: int, updated_s: int | None = None) -> None:
        """Have the feed say a number, as of a second; in a block of its own."""
        self.round += 1
        when = self.rig.now if updated_s is None else updated_s
        self.rig.do(self.feed, "updateRoundData", self.round, answer, when, when)

    def decimals(self, count: int) -> None:
        """Change the feed's decimals where they are stored."""
        before = self.rig.view(self.feed, "decimals")
        slot = self.rig.node.call("eth_getStorageAt", self.feed.address, "0x0", "latest")
        assert int(slot, 16) == before
        self.rig.node.call("anvil_setStorageAt", self.feed.address, "0x0", f"0x{count:064x}")
        self.rig.mine_empty()

    def keeper(self, **changes: Any) -> KeeperProcess:
        """A keeper that checks by this feed, once it has read it."""
        document = self.rig.document(**changes)
        document["halt"] = {"gap_s": 0}
        document["venues"]["derive"]["quotes"] = {"checked": ["ETH"]}
        settings = {"name": "mock", "kind": "chainlink", "underlying": "ETH", "poll_ms": 20}
        settings |= {"feed": self.feed.address, "reread_blocks": 1}
        document["oracles"] = [settings]
        made = self.rig.follow(self.rig.process(document))
        made.wait("the feed was read", lambda: made.events("RoundObserved"))
        return made

    def seen(self, keeper: KeeperProcess, change: Callable[[], None]) -> None:
        """Change something about the feed, and wait until the keeper has read it."""
        count = len(keeper.events("RoundObserved"))
        change()
        keeper.wait("it is read", lambda: len(keeper.events("RoundObserved")) > count)


@pytest.fixture
def mocked(tmp_path: Path) -> Iterator[Mocked]:
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        feed = rig.sender.create(chainlink("tests/MockV3Aggregator"), 8, 3_000 * USD)
        rig.mine()
        yield Mocked(rig, feed)


FAULTS: dict[str, Callable[[Mocked], None]] = {
    "oracle_zero_halts_market": lambda mocked: mocked.answers(0),
    "oracle_negative_halts_market": lambda mocked: mocked.answers(-3_000 * USD),
    "oracle_least_int_halts_market": lambda mocked: mocked.answers(-(2**255)),
    "oracle_decimals_halts_market": lambda mocked: mocked.decimals(18),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_row_27_a_feed_that_says_no_price_halts_its_market_and_no_other(
    mocked: Mocked, fault: str
) -> None:
    rig = mocked.rig
    btc = rig.venue.books[1]
    eth_account = rig.open_with("500", rig.perp("10"))
    btc_account = rig.open_with("500", (btc.perp, 0, wad("10")), book=btc)
    keeper = mocked.keeper()
    assert rig.play(keeper)["quotes_not_ok"] == []
    mocked.seen(keeper, lambda: FAULTS[fault](mocked))
    line = rig.play(keeper, spot=2_900)
    assert line["quotes_not_ok"] == ["ETH.spot=HALTED"]
    assert (line["breaches"], line["commands"]) == (2, 1)
    keeper.wait("red", lambda: any("ETH.spot" in why for why in keeper.readiness()))
    rig.play(keeper)
    assert rig.live(btc_account)
    assert rig.starts(eth_account) == []
    assert rig.margin(eth_account)[0] < 0, "the chain itself goes on as if nothing were wrong"

    def mend() -> None:
        if fault == "oracle_decimals_halts_market":
            mocked.decimals(8)
        mocked.answers(2_900 * USD)

    mocked.seen(keeper, mend)
    rig.play_until(keeper, lambda: rig.live(eth_account))


def test_row_27_oracle_stale_halts_market(mocked: Mocked) -> None:
    rig = mocked.rig
    account = rig.open_with("500", rig.perp("10"))
    keeper = mocked.keeper()
    rig.play(keeper)
    rig.silent.add("ETH.spot")
    line = rig.play(keeper, after_s=SPOT_STALE_S + 1)
    assert line["quotes_not_ok"] == ["ETH.spot=STALE"]
    line = rig.play(keeper, spot=2_900)
    assert (line["undecided"], line["commands"]) == (1, 0)
    assert rig.starts(account) == []
    (told,) = [each for each in keeper.lines("quote_ageing") if each["quote"] == "ETH.spot"]
    assert told["age_of_heartbeat"] > 1.0


@pytest.mark.parametrize("fault", ["stale_check", "outlier"])
def test_row_27_on_a_price_that_nobody_confirms_starts_go_on_and_bids_stop(
    mocked: Mocked, fault: str
) -> None:
    rig = mocked.rig
    account = rig.open_with("500", rig.perp("10"))
    bidder = rig.bidder("90000")
    free = {"risk_rate": 0.0, "profit_min_usd": 0.0}
    keeper = mocked.keeper(strategy="dutch_auction", bidders=[bidder], **free)
    rig.play(keeper)

    def spoil() -> None:
        if fault == "outlier":
            mocked.answers(3_800 * USD)  # further from the chain's than it may be, yet no jump
        else:
            mocked.answers(3_000 * USD, rig.now - 4_000)

    mocked.seen(keeper, spoil)
    rig.play(keeper, spot=2_900)
    rig.play_until(keeper, lambda: rig.live(account), 4)
    for _ in range(12):
        assert rig.play(keeper)["quotes_not_ok"] == ["ETH.spot=SUSPECT"]
    assert rig.happened("Bid") == []
    mocked.seen(keeper, lambda: mocked.answers(2_900 * USD))
    rig.play_until(keeper, lambda: bool(rig.happened("Bid")), 60)


def test_the_sequencer_that_is_down_or_just_back_halts_everything(mocked: Mocked) -> None:
    rig = mocked.rig
    account = rig.open_with("500", rig.perp("10"))
    uptime = rig.sender.create(chainlink("tests/MockV3Aggregator"), 0, 1)
    rig.mine()
    document = rig.document()
    document["venues"]["derive"]["quotes"] = {"sequencer": True, "grace_s": 60}
    settings = {"name": "uptime", "kind": "chainlink", "underlying": "sequencer", "poll_ms": 20}
    settings |= {"feed": uptime.address, "reread_blocks": 1}
    document["oracles"] = [settings]
    keeper = rig.follow(rig.process(document))
    line = rig.play(keeper, spot=2_900)
    assert line["quotes_not_ok"] == ["ETH.spot=HALTED", "BTC.spot=HALTED"]
    assert (line["breaches"], line["commands"]) == (1, 0)
    up = Mocked(rig, uptime)
    back_s = rig.now
    keeper.wait("it was read", lambda: keeper.events("RoundObserved"))
    up.seen(keeper, lambda: up.answers(0))
    while rig.now + 12 < back_s + 60:
        assert rig.play(keeper)["commands"] == 0
    rig.play_until(keeper, lambda: rig.live(account), 3)
