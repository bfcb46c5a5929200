"""Rows 34 to 37 of the fault matrix: how a keeper ends, what it may hold, and who else may run."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keeper.chain.routes.routing import hash_of
from tests.integration.keeper_process import KeeperProcess, wait_for
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.world.rpc_proxy import Call, Onward, Reply, rpc_proxy


pytestmark = pytest.mark.node


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rig_in(tmp_path, SHORT_VENUE) as standing:
        yield standing


# Row 34: SIGTERM ----------------------------------------------------------------------------------


@dataclass
class Counter:
    """A door to send through: hears every transaction's bytes, and may keep them to itself."""

    url: str = ""
    heard: list[str] = field(default_factory=list)
    answers: bool = False  # until then a send is out and stays out
    forwards: bool = True

    async def rule(self, call: Call, onward: Onward) -> Reply:
        if call.method != "eth_sendRawTransaction":
            return await onward(call)
        self.heard.append(call.params[0])
        while not self.answers:  # noqa: ASYNC110 - a thread's word, not the loop's
            await asyncio.sleep(0.01)
        if self.forwards:
            return await onward(call)
        return {"result": hash_of(bytes.fromhex(call.params[0][2:]))}


@pytest.fixture
def counter(rig: Rig) -> Iterator[Counter]:
    """The door, in a thread of its own, for a keeper in a process of its own."""
    made, up, end = Counter(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with rpc_proxy(rig.node.url) as proxy:
            proxy.rules = [made.rule]
            made.url = proxy.url
            loops.append(asyncio.get_running_loop())
            up.set()
            await end.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(PATIENCE_S)
    yield made
    made.answers = True
    loops[0].call_soon_threadsafe(end.set)
    thread.join()


def sending_through(rig: Rig, counter: Counter) -> KeeperProcess:
    document = rig.document()
    document["chain"]["send_urls"] = [counter.url]
    return rig.follow(rig.process(document))


def ask_to_stop(keeper: KeeperProcess, times: int) -> None:
    """Send SIGTERM and wait until it is told of, so many times."""
    for count in range(1, times + 1):
        os.kill(keeper.pid, signal.SIGTERM)
        keeper.wait("the signal", lambda n=count: len(keeper.lines("stop_asked")) == n)


def test_row_34_sigterm_keeps_live_bytes_in_the_middle_of_a_send(
    rig: Rig, counter: Counter
) -> None:
    account = rig.open_with("300", rig.option(2800, False, "-10"))
    keeper = sending_through(rig, counter)
    rig.play(keeper)
    rig.step(2_900)
    keeper.wait("a send that is out", lambda: counter.heard)
    assert keeper.events("CommandSent") == [], "nobody has answered it"
    ask_to_stop(keeper, 1)
    counter.answers = True
    keeper.wait("the bytes once more", lambda: len(counter.heard) == 2)
    wait_for("the pool", lambda: rig.node.call("txpool_status")["pending"] != "0x0")
    rig.step(2_890)  # it waits for their block
    assert keeper.exited() == 0
    assert rig.live(account)
    first, again = counter.heard
    assert first == again, "the same bytes, sent once more"
    (committed,) = keeper.events("CommandCommitted")
    assert committed["transaction"] == hash_of(bytes.fromhex(first[2:]))
    included = keeper.events("TransactionIncluded")
    assert [each["transaction"] for each in included] == [committed["transaction"]]
    assert keeper.lines("farewell_failed") == []


def test_row_34_a_second_sigterm_exits_at_once_and_the_next_start_takes_the_bytes_up(
    rig: Rig, counter: Counter
) -> None:
    account = rig.open_with("300", rig.option(2800, False, "-10"))
    counter.answers, counter.forwards = True, False  # a route that says yes and forgets
    keeper = sending_through(rig, counter)
    rig.play(keeper)
    rig.play(keeper, spot=2_900)
    ask_to_stop(keeper, 2)
    assert keeper.exited() == 0
    # A farewell that has its time tells what it leaves live; this one did not get to that.
    assert keeper.lines("farewell_failed") == []
    assert len(set(counter.heard)) == 1
    counter.forwards = True
    rig.follow(keeper)
    rig.play_until(keeper, lambda: rig.live(account))
    assert len(rig.starts(account)) == 1
    assert set(counter.heard) == {counter.heard[0]}, "what was committed, and nothing else"


# Row 35: memory -----------------------------------------------------------------------------------


def test_row_35_above_the_soft_limit_it_sheds_and_works_on(rig: Rig) -> None:
    account = rig.open_with("-100", rig.perp("10"))
    document = rig.document()
    document["telemetry"] |= {"memory_soft_bytes": 1_000_000}
    keeper = rig.follow(rig.process(document))
    rig.play_until(keeper, lambda: rig.live(account))
    told = keeper.lines("memory_soft_limit")
    assert len(told) == 1
    assert told[0]["resident_bytes"] > told[0]["soft_bytes"] == 1_000_000
    (gauge,) = [
        line for line in keeper.metrics().splitlines() if line.startswith("keeper_resident_bytes ")
    ]
    assert float(gauge.split()[1]) > 10_000_000
    assert keeper.stop() == 0


def test_row_35_at_the_hard_limit_it_ends_with_70_and_says_so(rig: Rig) -> None:
    document = rig.document()
    document["telemetry"] |= {"memory_soft_bytes": 0, "memory_hard_bytes": 1_000_000}
    keeper = rig.process(document).start()
    assert keeper.exited() == 70
    (ended,) = keeper.lines("run_ended_for_operator")
    assert (ended["part"], ended["error"]) == ("memory", "MemoryExceeded")
    assert "telemetry.memory_hard_bytes" in ended["problem"]


# Row 36: two keepers ------------------------------------------------------------------------------


def test_row_36_a_second_keeper_on_the_same_ledger_is_refused_and_the_first_works_on(
    rig: Rig,
) -> None:
    account = rig.open_with("300", rig.option(2800, False, "-10"))
    first = rig.keeper()
    rig.play(first)
    document = rig.document()
    second = rig.process(document).start()
    assert second.exited() == 74
    assert "another keeper has it open" in second.tail()
    rig.play(first, spot=2_900)
    rig.play_until(first, lambda: rig.live(account))
    assert len(rig.starts(account)) == 1


def test_row_36_two_keepers_with_the_same_key_are_found_out_on_chain(rig: Rig) -> None:
    """No lock reaches from one ledger to another: the nonces tell."""
    accounts = [rig.open_with(usd, rig.option(2800, False, "-10")) for usd in ("300", "600")]
    first = rig.keeper()
    document: dict[str, Any] = rig.document()
    document["keeper"] |= {"data_dir": str(rig.folder / "second")}
    second = rig.follow(rig.process(document))
    rig.play(first)
    second.block(rig.head["hash"])
    second.ready()
    os.kill(second.pid, signal.SIGSTOP)  # one of them is first, and the other finds it was not
    rig.play(first, spot=2_900)
    rig.play_until(first, lambda: rig.live(accounts[0]))
    os.kill(second.pid, signal.SIGCONT)
    second.wait("quarantine", lambda: any("QUARANTINE" in why for why in second.readiness()))
    for spot in (2_860, 2_840, 2_820, 2_800):
        second.block(rig.step(spot))
        first.block(rig.head["hash"])
    rig.play_until(first, lambda: rig.live(accounts[1]))
    assert [len(rig.starts(each)) for each in accounts] == [1, 1]
    assert {each["reason"] for each in second.events("CommandRefused")} <= {
        "lane_not_ready", "already_started", "not_followed",
    }  # fmt: skip
    assert second.events("CommandCommitted") == []
