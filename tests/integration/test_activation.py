"""From observe by simulate to live in two steps: the leave, what it is good for, its dry run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.devnet.chain.contract import Contract
from deploy.executor.standing import deploy, permission
from keeper.app.leave.activating import FILE
from keeper.cli import main
from tests.integration.keeper_process import KeeperProcess, write_toml
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in


pytestmark = pytest.mark.node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


def bare(rig: Rig, document: dict[str, Any]) -> KeeperProcess:
    """A keeper without any leave."""
    keeper = rig.process(document)
    (keeper.data_dir / FILE).unlink(missing_ok=True)
    return keeper


@contextmanager
def blocks(rig: Rig) -> Iterator[None]:
    """Make blocks beside what runs here, as a chain does."""
    over = threading.Event()

    def make() -> None:
        while not over.wait(0.25):
            rig.step(after_s=1)

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        yield
    finally:
        over.set()
        maker.join()


def activated(rig: Rig, keeper: KeeperProcess, *more: str) -> int:
    with blocks(rig):
        return main(["activate", "-c", str(keeper.config), "--yes", "--blocks", "2", *more])


def executor_of(rig: Rig, *lanes: str) -> Contract:
    leave = [permission(rig.core.auction, "bid")]
    made = deploy(rig.sender, rig.stranger(4).address, lanes, leave)
    rig.mine()
    return made


def test_live_starts_with_leave_only_and_tells_its_caps(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    account = rig.open_with("-100", rig.perp("10"))
    keeper = bare(rig, rig.document())
    assert keeper.start().exited() == 64
    assert "keeper activate" in keeper.tail()
    assert activated(rig, keeper) == 0
    told = capsys.readouterr().out
    assert "dry run: 2 blocks" in told
    assert "would have sent: " in told
    assert "cap total_wei_max = 1000000000000000000000" in told
    assert rig.starts(account) == [], "nothing is sent in a dry run"
    trial = json.loads((keeper.data_dir / FILE).read_text())["trial"]
    assert trial["would_send"]["start"] >= 1
    rig.follow(keeper)
    assert keeper.lines("live_with_caps")[0]["transaction_wei_max"] == 2 * 10**18
    rig.play_until(keeper, lambda: rig.live(account))


def test_a_changed_configuration_wants_leave_of_its_own(rig: Rig) -> None:
    document = rig.document()
    keeper = rig.process(document)
    write_toml(keeper.config, document | {"caps": {"day_wei_max": 10**18}})
    assert keeper.start().exited() == 64
    assert "another config digest" in keeper.tail()
    write_toml(keeper.config, document)
    rig.follow(keeper)


def test_other_code_behind_the_executor_wants_leave_of_its_own(rig: Rig) -> None:
    executor = executor_of(rig, rig.lane())
    document = rig.document()
    document["venues"]["derive"]["executor"] = executor.address
    keeper = rig.process(document)
    code = rig.node.call("eth_getCode", executor.address, "latest")
    rig.node.call("anvil_setCode", executor.address, code + "00")
    rig.step()
    assert keeper.start().exited() == 64
    assert "another executors" in keeper.tail()


def test_another_lane_wants_leave_of_its_own(rig: Rig) -> None:
    keeper = rig.process(rig.document())
    first, second = (rig.folder / f"lane{index}.key" for index in (0, 1))
    rig.lane(1)
    first.write_text(second.read_text())
    assert keeper.start().exited() == 64
    assert "another lanes" in keeper.tail()


def test_an_executor_that_would_refuse_the_lane_is_found_by_check_and_no_leave_is_given(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    document = rig.document()
    document["venues"]["derive"]["executor"] = executor_of(rig).address
    keeper = bare(rig, document)
    assert main(["check", "-c", str(keeper.config)]) == 66
    assert activated(rig, keeper) == 66
    assert "setLane(lane, true)" in capsys.readouterr().out
    assert not (keeper.data_dir / FILE).exists()


def test_a_failure_that_nobody_can_explain_gives_no_leave(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.open_with("-100", rig.perp("10"))
    keeper = bare(rig, rig.document())
    mute_starts(rig)
    assert activated(rig, keeper) == 70
    assert "failures unknown" in capsys.readouterr().err
    assert not (keeper.data_dir / FILE).exists()


def mute_starts(rig: Rig) -> None:
    """Make every start fail without a reason, and leave all else of the auction as it is.

    The auction's own code moves behind a few instructions that end a start without a word and
    delegate the rest, so that what the keeper reads does not depend on when it reads it.
    """
    auction, behind = rig.core.auction.address, "0x" + "a1" * 20
    rig.node.call("anvil_setCode", behind, rig.node.call("eth_getCode", auction, "latest"))
    start = rig.core.auction.encode("startAuction", 1, 0)[2:10]
    refuse = f"5f3560e01c63{start}14603b57"
    delegate = f"365f5f375f5f365f73{behind[2:]}5af43d5f5f3e6037573d5ffd5b3d5ff35b5f5ffd"
    rig.node.call("anvil_setCode", auction, f"0x{refuse}{delegate}")
    rig.step()


def test_without_anybody_to_agree_nothing_is_activated(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = bare(rig, rig.document())
    assert main(["activate", "-c", str(keeper.config)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert not (keeper.data_dir / FILE).exists()
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "no")
    with blocks(rig):
        assert main(["activate", "-c", str(keeper.config), "--blocks", "1"]) == 1
    assert not (keeper.data_dir / FILE).exists()


def test_leave_is_given_for_the_file_that_will_be_run(rig: Rig) -> None:
    keeper = bare(rig, rig.document("simulate"))
    assert activated(rig, keeper) == 64
