"""Taking a run's snapshot: tried again while the chain moves, pruned; no code, no start."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from keeper.app import patience
from keeper.app.assembly import Places
from keeper.app.state.snapshots import (
    SNAPSHOTS_KEPT,
    look_for_contracts,
    prune,
    take_snapshot,
)
from keeper.domain.errors import ChainMismatch, EndpointError
from keeper.domain.events import Log
from keeper.domain.units import Address, Hash
from keeper.ports import CallFailed, Header
from keeper.runtime.clock import SystemClock
from keeper.telemetry.logging import Lines
from tests.unit.app.documents import configured


HEAD = Header(9, "0x" + "09" * 32, "0x" + "08" * 32, 1_800_000_000, 1, 30_000_000)


class Node:
    """A `ChainReader` whose head is known and whose state never answers."""

    def __init__(self, empty: Address | None = None) -> None:
        self.empty = empty
        self.asked = 0

    async def header(self, number: int | str) -> Header:
        del number
        return HEAD

    async def call_many(
        self, calls: Sequence[tuple[Address, str]], block: Hash, gas: int | None = None
    ) -> list[str | CallFailed]:
        del calls, block, gas
        self.asked += 1
        raise EndpointError("read", "the block left the chain")

    async def logs(
        self, addresses: Sequence[Address], topics: Sequence[str], first: int, last: int
    ) -> list[tuple[int, Hash, Log]]:
        del addresses, topics, first, last
        return []

    async def code(self, address: Address, block: Hash) -> str:
        del block
        return "0x" if address == self.empty else "0x6000"


async def test_a_chain_that_keeps_leaving_the_block_ends_the_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PAUSE_MS", 1)
    written = io.StringIO()
    lines, node, places = Lines(SystemClock(), stream=written), Node(), Places(tmp_path)
    with pytest.raises(EndpointError, match="left the chain"):
        await take_snapshot(configured(), node, places, lines)
    lines.close()
    told = [json.loads(line)["event"] for line in written.getvalue().splitlines()]
    assert node.asked == patience.TRIES
    assert told.count("snapshot_again") == patience.TRIES - 1
    assert not places.snapshots.exists(), "nothing is written that is not whole"


async def test_an_address_without_code_is_refused_by_its_key() -> None:
    config = configured(venue={"auction_utils": f"0x{5:040x}"})
    await look_for_contracts(config, Node(), HEAD)
    with pytest.raises(ChainMismatch, match=r"venues\.derive\.auction_utils: .*no code there"):
        await look_for_contracts(config, Node(empty=f"0x{5:040x}"), HEAD)


def test_the_newest_snapshots_are_kept_and_those_whose_journal_is_there(tmp_path: Path) -> None:
    places = Places(tmp_path)
    places.snapshots.mkdir()
    places.journal.mkdir()
    for number in range(SNAPSHOTS_KEPT + 4):
        path = places.snapshots / f"{number}.json"
        path.write_text("{}")
        os.utime(path, (number, number))
    (places.snapshots / "notes.txt").write_text("not ours")
    started = {"entry": {"seq": 1, "with": {"snapshot_file": "1.json"}}}
    (places.journal / "1-1.0001.jsonl").write_text(f"{{}}\n{json.dumps(started)}\n")
    (places.journal / "2-2.0001.jsonl").write_text('{}\n{"entry": {"seq')  # torn
    prune(places)
    kept = sorted(int(path.stem) for path in places.snapshots.glob("*.json"))
    assert kept == [1, *range(4, SNAPSHOTS_KEPT + 4)]
    assert (places.snapshots / "notes.txt").exists()
