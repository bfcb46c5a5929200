"""`keeper check` without a node: what can be said is said, with the code a run would end with."""

from __future__ import annotations

import socket
from pathlib import Path

from keeper.app.checking import Finding, check
from keeper.config import Config
from tests.unit.app.documents import configured


def nobody() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def findings(config: Config) -> dict[str, Finding]:
    return {each.what: each async for each in check(config)}


def test_a_finding_reads_as_a_line() -> None:
    assert Finding("lane", True, "rich").line() == "ok   lane: rich"
    assert Finding("lane", False, "poor; fund it", 66).line() == "BAD  lane: poor; fund it"


async def test_endpoints_that_do_not_answer_are_named_and_nothing_is_said_of_contracts() -> None:
    port = nobody()
    config = configured(
        chain={"watch_url": f"ws://127.0.0.1:{port}", "send_urls": [f"http://127.0.0.1:{port}"]}
    )
    found = await findings(config)
    bad = {what: each.exit_code for what, each in found.items() if not each.good}
    assert bad == {"endpoint watch": 66, "endpoint send0": 66}
    assert not any(what.startswith(("venues", "lane")) for what in found)
    assert "start the node or correct its URL" in found["endpoint watch"].found


async def test_a_folder_that_cannot_be_made_and_a_wrong_strategy_have_their_own_codes() -> None:
    port = nobody()
    config = configured(
        keeper={"data_dir": "/nowhere/at/all"},
        strategy={"name": "strategies.flag_only:Nobody"},
        chain={"watch_url": f"ws://127.0.0.1:{port}", "send_urls": []},
    )
    found = await findings(config)
    assert (found["strategy"].good, found["strategy"].exit_code) == (False, 64)
    assert (found["data_dir"].good, found["data_dir"].exit_code) == (False, 74)
    assert "make it" in found["data_dir"].found


async def test_a_folder_beside_others_will_be_made(tmp_path: Path) -> None:
    port, data_dir = nobody(), tmp_path / "data"
    config = configured(
        keeper={"data_dir": str(data_dir)},
        chain={"watch_url": f"ws://127.0.0.1:{port}", "send_urls": []},
    )
    found = await findings(config)
    assert found["data_dir"].good
    assert not made(data_dir), "check writes nothing"


def made(path: Path) -> bool:
    return path.exists()
