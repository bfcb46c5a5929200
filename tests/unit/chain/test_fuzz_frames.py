"""Whatever a node sends ends in an answer or a classified endpoint fault; how soon, a bench tells.

A slice runs with every test run; KEEPER_SOAK=1 runs the million.
"""

import asyncio
import json
import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from keeper.chain.link import frames, wire
from keeper.chain.link.transport import TransportLimits
from keeper.chain.link.websocket import RpcSocket
from keeper.domain.errors import EndpointError, EndpointUnreachable, MalformedReply
from tests.unit.chain.fake_chain import expected, fold
from tests.unit.chain.scripted_node import PATIENCE_S, HostClock, SocketSide, dialogue, for_ever
from tests.unit.chain.test_heads import START, following
from tests.world.hostile_frames import bent, hostile


FRAMES = 1_000_000 if os.environ.get("KEEPER_SOAK") else 20_000
READERS: tuple[Callable[[str, Any], object], ...] = (
    wire.header,
    wire.block,
    wire.logs,
    wire.receipt,
    wire.receipt_logs,
)


def taken_in(raw: bytes) -> tuple[frames.Frame, int, int]:
    """Return a frame, and how many readings of its answers went well, and were refused."""
    frame = frames.parse(raw)
    read = malformed = 0
    for item in frame.items:
        for reader in READERS:
            try:
                reader("node", item.result)
                read += 1
            except MalformedReply:
                malformed += 1
    return frame, read, malformed


def test_no_frame_makes_the_parser_or_the_readers_fall_over() -> None:
    read = malformed = 0
    for raw in hostile(1, FRAMES):
        frame, good, bad = taken_in(raw)
        read, malformed = read + good, malformed + bad
        assert frame.items or frame.unattributed or frame.problems
    # Both happen, or the fuzz is not one: all refused, or nothing bent.
    assert read > FRAMES // 100
    assert malformed > FRAMES // 100


async def test_every_call_that_is_out_ends_in_an_answer_or_a_classified_fault() -> None:
    faults: dict[str, int] = {}
    socket = RpcSocket("node", "ws://nowhere", HostClock())
    out = {i: socket._expect(i, "eth_any", i, None) for i in range(1, 8)}
    for raw in hostile(2, FRAMES // 2):
        socket._take(raw)
        if socket._ended is not None:
            faults["ended"] = faults.get("ended", 0) + 1
            socket = RpcSocket("node", "ws://nowhere", HostClock())
            out = {}
        for i in range(1, 8):
            if i not in out or out[i].done():
                if i in out and isinstance(out[i].result(), EndpointError):
                    name = type(out[i].result()).__name__
                    faults[name] = faults.get(name, 0) + 1
                out[i] = socket._expect(i, "eth_any", i, None)
        assert len(socket._waiting) == 7
        assert len(socket._early) <= 256
    assert {"RpcError", "MalformedReply"} <= set(faults)


async def test_a_flood_of_hostile_frames_ends_the_connection() -> None:
    async def script(node: SocketSide) -> None:
        for raw in hostile(3, 5_000):
            await node.socket.send_bytes(raw)
            if node.socket.closed:
                return
        await for_ever(node)

    async with dialogue(script, TransportLimits(malformed_frames_max=16)) as socket:
        calling = asyncio.create_task(socket.call("eth_any", [], deadline_s=PATIENCE_S))
        assert isinstance(await asyncio.wait_for(socket.closed(), PATIENCE_S), EndpointUnreachable)
        await asyncio.wait([calling])  # one of the frames may have answered it
        assert isinstance(calling.exception(), EndpointError | None)


def _broken(value: Any, chance: random.Random) -> Any:
    """Return an answer that cannot be read, whatever place of it was bent."""
    while (broken := bent(value, chance)) == value or _readable(broken):
        pass
    return broken


def _readable(value: Any) -> bool:
    def read(reader: Callable[[str, Any], object]) -> bool:
        try:
            reader("node", value)
        except MalformedReply:
            return False
        return True

    return value is None or value == [] or any(read(reader) for reader in (wire.block, wire.logs))


@pytest.mark.parametrize("seed", range(40 if FRAMES > 20_000 else 6))
async def test_answers_that_cannot_be_read_change_no_state(seed: int) -> None:
    chance = random.Random(seed)
    async with following() as it:

        def answer(method: str, params: Sequence[Any]) -> Any:
            truth = it.chain.truth(method, params)
            return (
                truth if chance.random() < 0.6 else _broken(json.loads(json.dumps(truth)), chance)
            )

        it.chain.answer = answer
        for _ in range(60):
            it.chain.mine(chance.randrange(3), logs=chance.randrange(3))
            if chance.random() < 0.2 and len(it.chain.canonical) > START + 4:
                it.chain.reorg(2, longer=1)
            await asyncio.sleep(0.002)
            branch = fold(it.events, START, it.chain)
            known = dict(_everything(it.chain))
            assert all(known[block] == logs for block, logs in branch)
        it.chain.answer = it.chain.truth
        it.chain.mine()
        await it.caught_up()
        assert it.chain.drops, "nothing was refused: the fuzz is none"


def _everything(chain: Any) -> list[tuple[str, Any]]:
    """Return every block ever made with its watched logs, on whatever branch."""
    kept = list(chain.canonical)
    try:
        chain.canonical = list(chain.known)
        return expected(chain)
    finally:
        chain.canonical = kept
