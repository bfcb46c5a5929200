"""Looking at what no log tells: the first look is what later ones are held against."""

from __future__ import annotations

from keeper.app.audit.rules import Look, RulesWatch
from keeper.domain.errors import KeeperError
from keeper.domain.events import RulesObserved
from keeper.protocols.derive.views.authority_standing import SLOTS
from tests.unit.app.audit_world import FakeEndpoint
from tests.unit.protocols.derive import deployment as on
from tests.unit.protocols.derive.chain_views import hash_of
from tests.unit.protocols.derive.deployment import Deployment


class Watched:
    """A deployment that is looked at twice."""

    def __init__(self) -> None:
        self.ours = Deployment()
        self.ours.account(1, 5.0)
        truth = Deployment()
        truth.account(1, 5.0)
        self.chain = FakeEndpoint(truth)
        self.told: list[KeeperError] = []
        self.watch = RulesWatch(self.chain, (on.UTILS,), lambda _, error: self.told.append(error))

    async def look(self) -> Look:
        return await self.watch.look(self.ours.venue, hash_of(1))


async def test_the_first_look_changes_nothing_and_nor_does_an_equal_one() -> None:
    watched = Watched()
    assert await watched.look() == Look([], "")
    assert await watched.look() == Look([], "")


async def test_code_slots_and_owners_that_changed_are_told_once_with_before_and_after() -> None:
    watched = Watched()
    watched.chain.owners[on.MANAGER] = on.ALICE
    await watched.look()
    watched.chain.codes[on.UTILS] = "0x6001"
    watched.chain.owners[on.MANAGER] = on.KEEPER
    watched.chain.storages[on.LIB, SLOTS["implementation"]] = "0x" + "00" * 12 + "ab" * 20
    found = {(each.subject, each.change.split()[0]) for each in (await watched.look()).changes}
    assert found == {
        (f"contract {on.UTILS}", "code"),
        (f"manager {on.MANAGER}", "owner"),
        (f"lib {on.LIB}", "implementation"),
    }
    assert (await watched.look()).changes == []


async def test_an_owner_s_change_names_both() -> None:
    watched = Watched()
    watched.chain.owners[on.AUCTION] = on.ALICE
    await watched.look()
    del watched.chain.owners[on.AUCTION]
    (change,) = (await watched.look()).changes
    expected = RulesObserved("derive", f"auction {on.AUCTION}", f"owner {on.ALICE} -> none")
    assert change == expected


async def test_the_code_behind_a_proxy_is_looked_at_too() -> None:
    watched = Watched()
    behind = "0x" + "ab" * 20
    watched.chain.storages[on.LIB, SLOTS["implementation"]] = "0x" + "00" * 12 + behind[2:]
    await watched.look()
    watched.chain.codes[behind] = "0x6002"
    (change,) = (await watched.look()).changes
    assert change.change.startswith("implementation code ")


async def test_what_nobody_answers_is_compared_the_next_time() -> None:
    watched = Watched()
    await watched.look()
    watched.chain.codes[on.UTILS] = "0x6001"
    watched.chain.silent = True
    assert await watched.look() == Look([], "")
    assert len(watched.told) == 1
    watched.chain.silent = False
    assert len((await watched.look()).changes) == 1


async def test_a_heartbeat_that_we_do_not_hold_wants_a_new_snapshot() -> None:
    watched = Watched()
    feeds = watched.chain.truth.tables.feeds
    feeds.set(on.VOL_FEED, feeds[on.VOL_FEED]._replace(heartbeat_s=60))
    look = await watched.look()
    assert [each.subject for each in look.changes] == [f"feed {on.VOL_FEED}"]
    assert look.unread == "heartbeat 1200 s -> 60 s"
