"""`chain.hostile.slowest.ms`: the longest that one hostile frame holds the event loop.

A frame is parsed and read where heads arrive: while it is, no head is. Must not judge what the
readers make of a frame; the fuzz of the suite does.

    python -m tests.performance.hostile_bench
"""

import asyncio
import time
from pathlib import Path
from typing import Final

from tests.performance.table import GOALS, Figure, judged
from tests.unit.chain.test_fuzz_frames import taken_in
from tests.world.hostile_frames import hostile


FRAMES: Final = 20_000


def slowest_s() -> float:
    """Return the longest that one of a batch of hostile frames took to be parsed and read."""
    slowest = 0.0
    for raw in hostile(1, FRAMES):
        began = time.perf_counter()
        taken_in(raw)
        slowest = max(slowest, time.perf_counter() - began)
    return slowest


async def rows(_: Path) -> list[Figure]:
    """Return the row; a batch takes seconds, and one is enough: each is another frame."""
    return [Figure("chain.hostile.slowest.ms", 1e3 * slowest_s(), "ms")]


if __name__ == "__main__":
    for row in judged(asyncio.run(rows(Path())), GOALS):
        print(row.line())
