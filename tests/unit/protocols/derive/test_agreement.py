"""A loaded state beside the chain: every field of an account counts, and how many there are."""

from collections.abc import Callable

import pytest

from keeper.margin.book import Kind
from keeper.protocols.derive.snapshot import compare
from keeper.protocols.derive.tables import AuctionRow
from keeper.protocols.derive.views.agreement import chosen, standing
from tests.unit.protocols.derive.deployment import OTHER_LIB, Deployment, at
from tests.unit.protocols.derive.test_snapshot import HEAD, OTHER_MANAGER, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


Change = Callable[[Deployment, int], object]


async def apart(scene: Scene, change: Change | None = None, account: int = 7) -> list[str]:
    """Return in what our state differs from the chain's, which then was changed."""
    tables = scene.tables
    ours = standing(tables, chosen(tables, HEAD.hash, 64))
    if change is not None:
        change(scene.deployment, account)
    return await compare(scene.reader, scene.config, HEAD, ours)


async def test_a_state_that_is_the_chains_agrees(scene: Scene) -> None:
    assert await apart(scene) == []


def column(name: str) -> Change:
    def change(deployment: Deployment, account: int) -> None:
        held = getattr(deployment.tables, name)
        row = deployment.tables.row(account)
        held.set(row, held.get(row) + 1)

    return change


def position(deployment: Deployment, account: int) -> None:
    row = deployment.tables.row(account)
    (instrument, quantity), *_ = deployment.portfolio.positions.held(row)
    deployment.portfolio.positions.set(row, instrument, quantity + 1)


def new_position(deployment: Deployment, account: int) -> None:
    deployment.account(account, 50.0, (Kind.BASE, 0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (column("cash"), "cash"),
        (column("cash_index"), "cash_index"),
        (column("perp_mark"), "perp_mark"),
        (column("perp_funding"), "perp_funding"),
        (column("perp_pnl"), "perp_pnl"),
        (column("perp_aggregated"), "perp_aggregated"),
        (position, "position"),
        (new_position, "position"),
        (lambda d, a: d.tables.owners.set(a, at(999)), "owner"),
        (lambda d, a: d.tables.accounts.set(a, OTHER_MANAGER), "manager"),
        (lambda d, a: d.tables.auctions.set(a, AuctionRow(3, False, 1, 0, 0)), "auction"),
        (lambda d, a: d.tables.auctions.delete(a), "auction"),
        (lambda d, a: d.tables.overrides.set(a, OTHER_LIB), "lib"),
    ],
)
async def test_each_field_of_an_account_must_be_the_chains(
    scene: Scene, change: Change, field: str
) -> None:
    found = await apart(scene, change)
    assert any(line.startswith(f"account 7 {field}") for line in found), found
    assert all(line.startswith("account 7 ") for line in found)


async def test_an_account_we_never_saw_is_a_difference(scene: Scene) -> None:
    assert await apart(scene, lambda d, _: d.account(9, 1.0)) == ["accounts: ours 8, the chain's 9"]


async def test_an_account_that_the_chain_never_saw_is_one_too(scene: Scene) -> None:
    def forget(deployment: Deployment, _: int) -> None:
        deployment.tables.accounts.delete(8)

    first, *rest = await apart(scene, forget)
    assert first == "accounts: ours 8, the chain's 7"
    assert rest
    assert all(line.startswith("account 8 ") for line in rest)


def test_whom_to_look_at_is_ours_the_newest_what_is_sold_and_a_drawn_few() -> None:
    deployment = Deployment(bidders=(3, 4, 900))
    for account in range(1, 501):
        deployment.account(account, 1.0)
    deployment.auction(77)
    found = chosen(deployment.tables, HEAD.hash, 16)
    assert {3, 4, 77, 500} <= set(found)
    assert 900 not in found, "one of ours that is not there yet"
    assert 16 <= len(found) <= 20
    assert list(found) == sorted(found)
    assert found != chosen(deployment.tables, "0x" + "ab" * 32, 16)
    assert found == chosen(deployment.tables, HEAD.hash, 16)


def test_of_nobody_there_is_nobody_to_choose() -> None:
    assert chosen(Deployment().tables, HEAD.hash, 16) == ()
