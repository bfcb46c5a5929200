"""A drill on a real node: the whole path, on a fork and on the node itself, and nothing is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract
from deploy.devnet.chain.node import find_anvil
from deploy.executor.standing import deploy, permission
from keeper.cli import main
from tests.integration.keeper_process import KeeperProcess
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def executor_of(rig: Rig) -> Contract:
    """An executor that lets nobody in yet: a drill admits its own lanes, on the copy alone."""
    leave = [permission(rig.core.auction, "bid"), permission(rig.core.auction_utils, "advancedBid")]
    made = deploy(rig.sender, rig.stranger(4).address, [], leave)
    rig.mine()
    return made


def drillable(rig: Rig, strategy: str = "flag_only", **more: Any) -> tuple[KeeperProcess, int]:
    """A configured keeper with an executor that owns its bidder, and an account that stands."""
    executor = executor_of(rig)
    account = rig.open_with("400", rig.perp("10"))
    bidder = rig.open_for(executor.address, rig.cash("50000"))
    document = rig.document(strategy=strategy, bidders=[bidder], **more)
    document["venues"]["derive"]["executor"] = executor.address
    rig.step()
    return rig.process(document), account


def report_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def drilled(keeper: KeeperProcess, *words: str) -> int:
    return main(["drill", "-c", str(keeper.config), "--json", *words])


def names(report: dict[str, Any]) -> list[str]:
    return [each["name"] for each in report["stages"]]


WAY = ("decided", "preflight", "committed", "sent", "included")


def test_on_a_fork_an_account_is_started_and_bid_for_and_the_chain_knows_nothing_of_it(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper, account = drillable(rig)
    before = rig.head["hash"], rig.stored(account, rig.core.cash)
    lanes = rig.node.call("eth_getTransactionCount", rig.lane(), "latest")
    assert drilled(keeper, "--anvil", str(find_anvil()), "--accounts", str(account)) == 0
    report = report_of(capsys)
    assert report["passed"] is True
    assert [f"start of {account}: {step}" for step in WAY] == names(report)[5:10]
    assert [f"bid under ETH: {step}" for step in WAY] == names(report)[10:15]
    details = {each["name"]: each["detail"] for each in report["stages"]}
    assert details["bid under ETH: decided"] == "through the executor"
    assert details["throwaway node"].startswith("a fork")
    assert (rig.head["hash"], rig.stored(account, rig.core.cash)) == before
    assert rig.node.call("eth_getTransactionCount", rig.lane(), "latest") == lanes
    assert not rig.live(account)
    assert not keeper.data_dir.joinpath("ledger.sqlite").exists(), "the real ledger is not its own"


def test_a_development_node_is_put_back_as_it_was(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper, account = drillable(rig, "dutch_auction", risk_rate=0.0, profit_min_usd=0.0)
    before = rig.head["hash"]
    assert drilled(keeper, "--node-url", rig.node.url) == 0
    report = report_of(capsys)
    assert names(report)[-1] == "given back"
    assert f"start of {account}: included" in names(report)
    assert rig.head["hash"] == before
    assert not rig.live(account)


def test_what_would_go_wrong_in_earnest_goes_wrong_in_the_drill_and_is_named(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper, _ = drillable(rig)
    document = rig.document(bidders=[3])
    document["venues"]["derive"]["executor"] = executor_of(rig).address
    document["caps"] = {"transaction_wei_max": 1}
    capped = rig.process(document)
    before = rig.head["hash"]
    assert drilled(capped, "--node-url", rig.node.url) == 70
    report = report_of(capsys)
    failed = [each for each in report["stages"] if not each["ok"]]
    assert all("cap_transaction" in each["detail"] for each in failed if "start" in each["name"])
    assert failed
    assert names(report)[-1] == "given back"
    assert rig.head["hash"] == before
    del keeper


def test_an_account_that_cannot_be_drilled_is_refused(rig: Rig) -> None:
    keeper, account = drillable(rig)
    before = rig.head["hash"]
    assert drilled(keeper, "--node-url", rig.node.url, "--accounts", str(account + 1)) == 64
    assert rig.head["hash"] == before


def test_no_real_endpoint_is_drilled_on(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    keeper, _ = drillable(rig)
    assert drilled(keeper, "--node-url", "https://rpc.example/v2/a-secret") == 64
    said = capsys.readouterr().err
    assert "not this host" in said
    assert "a-secret" not in said


def test_without_an_anvil_the_cure_is_named(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, _ = drillable(rig)
    monkeypatch.setenv("PATH", "/nowhere")
    assert drilled(keeper) == 64
    assert "anvil" in capsys.readouterr().err
