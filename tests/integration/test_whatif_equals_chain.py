"""What-if against the chain: the change is made for real, and exactly those breach it named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.venue.parameters import wad
from keeper.app.state.snapshots import store
from keeper.app.whatif import changes_of, snapshot_file, snapshot_now, whatif
from keeper.cli import main
from keeper.config import load
from tests.integration.keeper_process import write_toml
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def stood(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rig, Path, list[int]]]:
    folder = tmp_path_factory.mktemp("whatif")
    with rig_in(folder, SHORT_VENUE) as rig:
        accounts = []
        for excess in ("5", "150", "400", "900", "2500", "9000"):
            accounts += [
                rig.open_with(excess, rig.perp("10")),
                rig.open_with(excess, rig.option(3200, True, "-5"), rig.perp("2")),
                rig.open_with(excess, rig.coin("4"), rig.option(2800, False, "-3")),
                rig.open_with(excess, rig.perp("-8"), rig.option(3000, True, "6")),
            ]
        accounts.append(rig.open(rig.cash("-100"), rig.coin("0.01")))  # in breach already
        rig.at(60)
        yield (
            rig,
            write_toml(folder / "whatif.toml", rig.document(lanes=0, mode="observe")),
            accounts,
        )


def breaching(rig: Rig, accounts: list[int]) -> set[int]:
    """Return whose margin is below zero by the chain's own view; nothing has accrued here."""
    return {account for account in accounts if rig.margin(account)[0] < 0}


def answer(config: Path, *changes: str) -> dict[str, Any]:
    loaded = load(config)
    return whatif(loaded, asyncio.run(snapshot_now(loaded)), changes_of(changes))


def named(document: dict[str, Any], *what: str) -> set[int]:
    return {each["account"] for each in document["accounts"] if each["what"] in what}


def set_margin(rig: Rig) -> None:
    values = list(rig.view(rig.book.lib, "getMarginParams"))
    values[1] = wad("0.95")
    rig.sender.send(rig.book.lib, "setMarginParams", tuple(values))


def set_haircut(rig: Rig) -> None:
    coin = rig.book.collaterals[0].asset.address
    rig.sender.send(
        rig.book.lib, "setCollateralParameters", coin, (True, True, wad("0.08"), wad("0.01"))
    )


def set_scenarios(rig: Rig) -> None:
    rows = [(wad("1.25"), 1, wad("1")), (wad("0.75"), 1, wad("1")), (wad("1"), 3, wad("1"))]
    rig.sender.send(rig.book.manager, "setScenarios", rows)


def set_contingency(rig: Rig) -> None:
    values = list(rig.view(rig.book.lib, "getOtherContingencyParams"))
    values[4] = wad("0.07")
    rig.sender.send(rig.book.lib, "setOtherContingencyParams", tuple(values))


def fall(rig: Rig) -> None:
    rig.spots = {"ETH": 2_760, "BTC": rig.spot}


CASES: dict[str, tuple[Callable[[Rig], None], str]] = {
    "maintenance factor": (set_margin, "ETH.margin.mm_factor=0.95"),
    "contingency of perpetuals": (set_contingency, "ETH.other.mm_perp=0.07"),
    "scenarios": (
        set_scenarios,
        'ETH.scenarios=[[1.25, "up", 1], [0.75, "up", 1], [1, "linear", 1]]',
    ),
    "haircut": (set_haircut, "ETH.collateral.{coin}.mm_haircut=0.08"),
    "spot": (fall, "ETH.spot_shift=-8%"),
}


@pytest.mark.parametrize("case", CASES)
def test_exactly_those_breach_that_were_named(
    stood: tuple[Rig, Path, list[int]], case: str
) -> None:
    rig, config, accounts = stood
    act, change = CASES[case]
    coin = rig.book.collaterals[0].asset.address
    now = breaching(rig, accounts)
    said = answer(config, change.format(coin=coin))
    place, at = rig.node.call("evm_snapshot"), (rig.now, rig.spots)
    try:
        act(rig)
        rig.at(rig.now - rig.start + 1)
        then = breaching(rig, accounts)
    finally:
        rig.node.call("evm_revert", place)
        rig.now, rig.spots = at
        rig.sender.__post_init__()

    assert named(said, "would breach") == then - now
    assert named(said, "would heal") == now - then
    assert named(said, "still breaches") == now & then
    assert then - now, "a change that nobody feels proves nothing"
    assert (said["before"]["breaches"], said["after"]["breaches"]) == (len(now), len(then))


def test_a_snapshot_file_answers_as_the_chain_does(
    stood: tuple[Rig, Path, list[int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig, config, _ = stood
    loaded = load(config)
    document = asyncio.run(snapshot_now(loaded))
    store(tmp_path / "snapshot.json", document)
    change = "ETH.margin.mm_factor=0.95"
    assert whatif(
        loaded, snapshot_file(tmp_path / "snapshot.json"), changes_of([change])
    ) == answer(config, change)
    words = ["whatif", "-c", str(config), "--change", change]
    assert main([*words, "--snapshot", str(tmp_path / "snapshot.json")]) == 0
    shown = capsys.readouterr().out
    assert f"block {rig.number}" in shown
    assert "ETH.margin.mm_factor: 0.8 -> 0.95" in shown
    assert "would breach" in shown
