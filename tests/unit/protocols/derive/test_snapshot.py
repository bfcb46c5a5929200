"""Taking a snapshot: what is read equals what is there, and what is wrong is named."""

from typing import Any

import pytest

from keeper.domain.errors import ChainMismatch, EndpointError
from keeper.margin.book import Kind
from keeper.ports import Header
from keeper.protocols.derive.record import dump
from keeper.protocols.derive.snapshot import take
from keeper.protocols.derive.tables import (
    STATIC_DIFF,
    STATIC_RATE,
    STATIC_SPOT,
    DiffRow,
    FeedRow,
    RateRow,
    SpotRow,
)
from keeper.protocols.derive.views.compare import comparable, differences
from keeper.protocols.derive.wiring import NOWHERE, DeriveConfig
from tests.unit.protocols.derive.deployment import (
    ASK_FEED,
    BID_FEED,
    CASH,
    COIN,
    COIN_FEED,
    FORWARD_FEED,
    LATER,
    LIB,
    MANAGER,
    NOW,
    OTHER_LIB,
    PERP,
    PERP_FEED,
    RATE_FEED,
    SOON,
    SPOT_FEED,
    STABLE_FEED,
    SUB_ACCOUNTS,
    VOL_FEED,
    WAD,
    Deployment,
    at,
    config,
    wad,
)
from tests.unit.protocols.derive.fake_reader import FakeReader, words
from tests.unit.protocols.derive.logs import log_of


HEAD = Header(100_000, "0x" + "aa" * 32, "0x" + "bb" * 32, NOW, 0, 0)
OTHER_MANAGER, NEW_COIN = at(991), at(972)


class StillClock:
    """A clock whose every look is a second later."""

    def __init__(self) -> None:
        self.looks = 0

    def now_ns(self) -> int:
        return 0

    def monotonic_ns(self) -> int:
        self.looks += 1
        return self.looks * 10**9


class Scene:
    """A deployment, a node that shows it, and the logs that its quotes were posted with."""

    def __init__(self, **changes: Any) -> None:
        self.deployment = Deployment()
        self.tables = self.deployment.tables
        self.config: DeriveConfig = config(**changes)
        self.reader = FakeReader(self.deployment, HEAD)
        for account in range(1, 7):
            self.deployment.account(account, 100.0 * account - 350.0)
        self.deployment.account(
            7, 50.0, (Kind.CALL, SOON, 2_000.0, -2.0), (Kind.PERPETUAL, 0, 0.0, 1.5)
        )
        self.deployment.account(8, 5.0, (Kind.BASE, 0, 0.0, 2.0))
        self.deployment.auction(7, insolvent=True)
        self.quotes()

    def post(self, name: str, *arguments: Any, source: str, number: int = HEAD.number) -> None:
        self.reader.history.append((number, log_of(name, *arguments, source=source)))

    def quotes(self) -> None:
        tables = self.tables
        for feed, spot in list(tables.spots.items()):
            self.post("SpotPriceUpdated", *spot, source=feed)
        for (feed, expiry), forward in list(tables.forwards.items()):
            self.post("ForwardDataUpdated", expiry, forward[:3], forward[3:], source=feed)
        for (feed, expiry), smile in list(tables.vols.items()):
            self.post("VolDataUpdated", expiry, tuple(smile), source=feed)
        for (feed, expiry), rate in list(tables.rates.items()):
            self.post("RateUpdated", expiry, *rate, source=feed)

    def expected(self) -> dict[str, Any]:
        return dump(self.tables, HEAD.number, HEAD.hash, HEAD.timestamp)

    async def take(self) -> dict[str, Any]:
        return await take(self.reader, self.config, HEAD, StillClock())


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_a_snapshot_is_what_the_chain_shows(scene: Scene) -> None:
    assert differences(await scene.take(), scene.expected()) == []


@pytest.mark.parametrize("batch", [1, 2, 7, 10_000])
async def test_the_size_of_batches_changes_nothing(batch: int) -> None:
    scene = Scene(snapshot_batch_calls=batch)
    assert await scene.take() == scene.expected()


async def test_progress_ends_at_one_and_never_goes_back(scene: Scene) -> None:
    scene.config = config(snapshot_batch_calls=6)
    told: list[tuple[float, float | None]] = []
    await take(
        scene.reader, scene.config, HEAD, StillClock(), lambda done, left: told.append((done, left))
    )
    shares = [done for done, _ in told]
    assert shares == sorted(shares)
    assert len(told) == 5
    assert told[-1] == (1.0, 0.0)


async def test_unserved_accounts_are_counted_with_their_cash_alone(scene: Scene) -> None:
    tables = scene.tables
    for account in (9, 10):
        tables.accounts.set(account, OTHER_MANAGER)
        tables.owners.set(account, at(100))
    tables.cash.set(tables.row(9), wad(3.0))
    tables.cash_index.set(tables.row(9), WAD)
    tables.unsupported.set(OTHER_MANAGER, 2)
    assert await scene.take() == scene.expected()


async def test_a_manager_without_overrides_is_not_asked_for_them(scene: Scene) -> None:
    scene.reader.reverts.add((MANAGER, "getAccountLib"))
    assert await scene.take() == scene.expected()


async def test_an_overriding_lib_is_read_with_its_collaterals(scene: Scene) -> None:
    scene.deployment.lib(OTHER_LIB)
    scene.tables.overrides.set(7, OTHER_LIB)
    assert await scene.take() == scene.expected()


async def test_a_collateral_that_nobody_holds_is_known_from_its_announcement(scene: Scene) -> None:
    row = (True, False, 5, 6)
    scene.post("CollateralParametersUpdated", NEW_COIN, row, source=LIB, number=3)
    scene.post("CollateralSpotFeedUpdated", NEW_COIN, COIN_FEED, source=MANAGER, number=4)
    scene.reader.answers[LIB, "getCollateralParameters"] = words(*row)
    scene.reader.answers[MANAGER, "collateralSpotFeeds"] = words(COIN_FEED)
    snapshot = await scene.take()
    taken = {tuple(key): row for key, row in snapshot["tables"]["collaterals"]}
    assert taken[LIB, NEW_COIN] == list(row)
    assert taken[LIB, COIN] == list(row)


async def test_static_feeds_show_their_values(scene: Scene) -> None:
    tables = scene.tables
    tables.feeds.set(STABLE_FEED, FeedRow(STATIC_SPOT, 0, 0, NOWHERE, 0))
    tables.spots.set(STABLE_FEED, SpotRow(WAD, WAD, 0))
    tables.feeds.set(RATE_FEED, FeedRow(STATIC_RATE, 0, 0, NOWHERE, 0))
    for key, _ in list(tables.rates.items()):
        tables.rates.delete(key)
    tables.rates.set((RATE_FEED, 0), RateRow(-5, WAD, 0))
    tables.feeds.set(ASK_FEED, FeedRow(STATIC_DIFF, 0, 0, SPOT_FEED, 0))
    tables.diffs.set(ASK_FEED, DiffRow(wad(3.0), WAD, 0))
    taken = (await scene.take())["tables"]
    expected = scene.expected()["tables"]
    for name in ("feeds", "spots", "rates", "diffs"):
        assert taken[name] == expected[name]


async def test_the_last_update_counts_and_a_scan_goes_back_one_heartbeat(scene: Scene) -> None:
    scene.reader.history = [
        (number, log) for number, log in scene.reader.history if log.address != VOL_FEED
    ]
    smile = scene.tables.vols[VOL_FEED, SOON]
    for number, a in ((99_800, 1), (99_700, 2), (99_399, 3)):
        later = smile._replace(a=a, timestamp=NOW - 2 * (HEAD.number - number))
        scene.post("VolDataUpdated", SOON, tuple(later), source=VOL_FEED, number=number)
    scene.reader.history.sort(key=lambda entry: entry[0])
    taken = {tuple(key): row for key, row in (await scene.take())["tables"]["vols"]}
    assert taken[VOL_FEED, SOON][0] == 1
    assert (VOL_FEED, LATER) not in taken
    assert min(first for first, _ in scene.reader.scanned if first > 1) <= 100_000 - 43_200 // 2
    assert scene.reader.scanned[0] == (1, HEAD.number)


async def test_a_quote_older_than_its_heartbeat_is_not_looked_for(scene: Scene) -> None:
    scene.config = config(start_block=99_000)
    await scene.take()
    assert min(first for first, _ in scene.reader.scanned) == 99_000


async def test_a_feed_that_never_posted_has_no_value(scene: Scene) -> None:
    scene.tables.diffs.delete(BID_FEED)
    assert BID_FEED not in dict((await scene.take())["tables"]["diffs"])


async def test_settled_prices_of_held_expiries_are_read(scene: Scene) -> None:
    past = NOW - 3_600
    scene.deployment.account(8, 1.0, (Kind.PUT, past, 1_900.0, 1.0))
    scene.tables.settled.set((FORWARD_FEED, past), wad(1_950.0))
    taken = await scene.take()
    assert taken["tables"]["settled"] == [[[FORWARD_FEED, past], str(wad(1_950.0))]]
    assert differences(comparable(taken), comparable(scene.expected())) == []


@pytest.mark.parametrize(
    ("where", "view"),
    [
        (MANAGER, "option"),
        (MANAGER, "getScenarios"),
        (LIB, "getSkewShockParams"),
        (PERP, "aggregatedFunding"),
        (CASH, "borrowIndex"),
        (SUB_ACCOUNTS, "lastAccountId"),
        (SUB_ACCOUNTS, "getAccountBalances"),
        (VOL_FEED, "heartbeat"),
        (FORWARD_FEED, "settlementHeartbeat"),
        (PERP_FEED, "spotDiffCap"),
    ],
)
@pytest.mark.parametrize("answer", [None, "0x", "0x" + "ff" * 31])
async def test_a_contract_that_does_not_answer_as_ours_is_named(
    scene: Scene, where: str, view: str, answer: str | None
) -> None:
    if answer is None:
        scene.reader.reverts.add((where, view))
    else:
        scene.reader.answers[where, view] = answer
    with pytest.raises(ChainMismatch, match=where) as raised:
        await scene.take()
    assert view in raised.value.what


@pytest.mark.parametrize(
    ("where", "view", "answer"),
    [
        (MANAGER, "option", words(2**200)),
        (MANAGER, "adjustmentsPaused", words(2)),
        (MANAGER, "getScenarios", words(32, 2**200)),
        (SUB_ACCOUNTS, "getAccountBalances", words(32, 1, 0)),
    ],
)
async def test_garbage_is_named_and_not_read(
    scene: Scene, where: str, view: str, answer: str
) -> None:
    scene.reader.answers[where, view] = answer
    with pytest.raises(ChainMismatch, match=where):
        await scene.take()


async def test_an_answer_that_is_not_hex_is_the_endpoints_fault(scene: Scene) -> None:
    scene.reader.bundles = False
    scene.reader.answers[CASH, "borrowIndex"] = "0xzz"
    with pytest.raises(EndpointError):
        await scene.take()


async def test_a_block_that_left_the_chain_meanwhile_is_no_snapshot(scene: Scene) -> None:
    scene.reader.reorged = True
    with pytest.raises(EndpointError, match="left the chain"):
        await scene.take()


async def test_views_are_asked_in_bundles(scene: Scene) -> None:
    await scene.take()
    assert scene.reader.bundled > 100
    assert scene.reader.calls < scene.reader.bundled / 5, (
        "only what failed in a bundle is asked by itself"
    )


async def test_a_node_that_runs_no_bundles_gives_the_same_snapshot(scene: Scene) -> None:
    bundled = await scene.take()
    scene.reader.bundles = False
    assert await scene.take() == bundled
    assert scene.reader.refused == 1, "and is asked for no more of them"


@pytest.mark.parametrize("view", ["ownerOf", "getAccountBalances", "getAuction", "heartbeat"])
async def test_what_lacked_gas_in_a_bundle_is_asked_again_by_itself(
    scene: Scene, view: str
) -> None:
    whole = await scene.take()
    scene.reader.starved = {view}
    assert await scene.take() == whole
