"""A keeper with private routes: a relay gets its bytes first, the public when the relay is idle."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from keeper.chain.routes.routing import hash_of
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.keeper_stand import DEADLINE_MS
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.world.relay import Relay, relay


pytestmark = pytest.mark.node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


@pytest.fixture
def at() -> Iterator[Relay]:
    """A relay in a thread of its own, for a keeper in a process of its own."""
    up, end = threading.Event(), asyncio.Event()
    found: list[tuple[Relay, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with relay() as running:
            found.append((running, asyncio.get_running_loop()))
            up.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(PATIENCE_S)
    running, loop = found[0]
    yield running
    loop.call_soon_threadsafe(end.set)
    thread.join()


def private(rig: Rig, at: Relay, kind: str) -> dict:
    key = rig.folder / "relay.key"
    key.write_text("33" * 32)
    key.chmod(0o600)
    document = rig.document()
    document["chain"]["relay_key_file"] = str(key)
    route = {"name": "relay", "kind": kind, "route_url": at.url, "deadline_ms": DEADLINE_MS}
    document["routes"] = [route]
    document["route_policy"] = {"public_after_blocks": 2}
    return document


@pytest.mark.parametrize("kind", ["bundle", "private_transaction"])
def test_a_relay_that_includes_is_all_that_sees_the_bytes(rig: Rig, at: Relay, kind: str) -> None:
    account = rig.open_with("300", rig.option(2800, False, "-10"))
    keeper = rig.follow(rig.process(private(rig, at, kind)))
    rig.play(keeper)
    rig.play(keeper, spot=2_900)
    raws = at.due(rig.number + 1)
    assert raws
    assert rig.node.call("txpool_status")["pending"] == "0x0", "nothing is public"
    for raw in dict.fromkeys(raws):  # the builder's block
        rig.node.call("eth_sendRawTransaction", raw)
    rig.play(keeper)
    (start,) = rig.starts(account)
    (committed,) = keeper.events("CommandCommitted")
    assert committed["transaction"] == hash_of(bytes.fromhex(raws[0][2:]))
    assert start["number"] == rig.number


def test_a_relay_that_says_yes_and_sits_still_is_overtaken_in_public(rig: Rig, at: Relay) -> None:
    account = rig.open_with("300", rig.option(2800, False, "-10"))
    at.manners.lie = True
    keeper = rig.follow(rig.process(private(rig, at, "bundle")))
    rig.play(keeper)
    rig.play(keeper, spot=2_900)
    decided = rig.number
    took = rig.play_until(keeper, lambda: bool(rig.starts(account)), 9)
    assert took >= 2, "the policy's blocks first"
    (start,) = rig.starts(account)
    assert start["number"] > decided + 1
    blocks = [int(each, 16) for each in targets(at)]
    assert blocks == sorted(set(blocks))
    assert blocks[0] == decided + 1
    assert len(blocks) >= 2, "a bundle is sent again for each block"


def targets(at: Relay) -> list[str]:
    return [json.loads(body)["params"][0]["blockNumber"] for _, body in at.requests]
