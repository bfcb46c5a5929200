"""A keeper's executor in a process of its own, made to be killed; forked, so that it starts fast.

It acts like a plain strategy: each account whose counter is still zero gets a new command, over
and over; only the ledger keeps it from acting twice. With `leaky` it does what must never be done,
and gives bytes to the routes before they are committed: the test must notice.
"""

import asyncio
import os
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from keeper.chain.ledger.rows import Binding, CapParameters
from keeper.chain.ledger.store import Ledger
from keeper.chain.routes.routing import broadcast
from keeper.chain.sending.lanes import LaneParameters
from keeper.chain.sending.preemption import PreemptionParameters
from keeper.chain.sending.sender import LaneExecutor
from keeper.runtime.clock import SystemClock
from tests.integration.lane_process import Elsewhere, Knife, decide
from tests.integration.lane_world import CHAIN_ID, FAST, executor, tell


LEAK = "sent_uncommitted"
CROWDED = replace(
    FAST,
    lanes=LaneParameters(in_flight_max=1),
    preemption=PreemptionParameters(100, 100, 100, 10**18),
)


@dataclass(frozen=True)
class Errand:
    """What one process has to do, and where its knife is (`nth` passing of `point`)."""

    port: int
    ledger: Path
    accounts: int
    point: str = "never"
    nth: int = 1
    leaky: bool = False
    crowded: bool = False  # one place a lane, and each account better than the one before


def start(errand: Errand) -> int:
    """Fork a keeper; return its process id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        asyncio.run(_serve(errand))
        code = 0
    except BaseException:  # noqa: BLE001 - a child must never return into its parent's code
        traceback.print_exc()
    finally:
        os._exit(code)


async def _serve(errand: Errand) -> None:
    node, knife = Elsewhere(errand.port), Knife(errand.point, errand.nth)
    ledger = await Ledger.open(errand.ledger, CHAIN_ID, CapParameters())
    identifier = await ledger.next_command_id()
    await ledger.close()
    limits = CROWDED if errand.crowded else FAST
    async with executor(node, errand.ledger, 2, limits, point=knife) as (executing, _):
        if errand.leaky:
            _send_first(executing, knife)
        while True:
            tell(node, executing)
            fresh = decide(node, identifier, errand.accounts)
            if fresh is None:
                continue  # the head it looked at is gone
            fresh = [replace(each, priority=(0, -float(each.account))) for each in fresh]
            if not fresh and _is_settled(executing):
                break
            identifier += len(fresh)
            executing.submit(fresh)
            await asyncio.sleep(0.03)


def _is_settled(executing: LaneExecutor) -> bool:
    return not any(lane.live() for lane in executing._dispatch.lanes)


def _send_first(executing: LaneExecutor, knife: Knife) -> None:
    """Break the rule: send, and only then commit."""
    dispatch = executing._dispatch
    commit = dispatch._ledger.bind_group

    async def leak(bindings: Sequence[Binding]) -> list[int | str]:
        for binding in bindings:
            await broadcast(dispatch._routes, binding.attempt, SystemClock())
        knife(LEAK)
        return await commit(bindings)

    dispatch._ledger.bind_group = leak
