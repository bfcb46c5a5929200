"""Mines for a keeper in a process of its own, weighs it after each block, and finds the slope."""

import asyncio
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.soak.market import Market, until_told


MIB = 1 << 20
TAKEN_BYTES = 4 * MIB  # no allocator gives so much back between two blocks by itself
STREAM_BYTES_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class Soak:
    """How long, and how busy; `undo` is how many blocks the keeper can take back."""

    logs: int = 1_000
    undo: int = 256
    blocks: int = 600  # weighed, after the warm-up
    seconds: float = float("inf")  # whichever ends first
    pace_s: float = 0.0
    leak: bool = False

    @property
    def warming(self) -> int:
        """Return the blocks before the first one weighed: the undo window fills, and settles."""
        return self.undo + self.undo // 2 + 24


@dataclass(slots=True)
class Weighed:
    """What the keeper had after each block, from the warm-up on.

    bytes  resident, the system's word
    held   asked for and not given back, resident or not
    """

    seconds: float = 0.0
    bytes: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)

    @property
    def settled(self) -> list[int]:
        """Return what was resident since the system last took untouched pages away."""
        pairs = zip(self.bytes, self.bytes[1:], strict=False)
        falls = (at for at, (one, two) in enumerate(pairs, 1) if one - two > TAKEN_BYTES)
        return self.bytes[max(falls, default=0) :]

    @property
    def slope(self) -> float:
        """Return bytes a block: of what is resident or of what is held, the worse."""
        return max(slope(self.settled), slope(self.held))

    @property
    def an_hour(self) -> float:
        """Return the same slope in bytes an hour, at the pace of this run."""
        return self.slope * len(self.bytes) / max(self.seconds, 1e-9) * 3_600

    def line(self) -> str:
        """Return the result in one line."""
        resident, held = self.settled, self.held
        taken = len(self.bytes) - len(resident)
        since = f" since the system took pages at block {taken}" if taken else ""
        return (
            f"{len(self.bytes)} blocks in {self.seconds:.0f} s: resident {_span(resident)}{since}, "
            f"held {_span(held)}; {self.slope / 1024:.2f} KiB a block, "
            f"{self.an_hour / MIB:.2f} MiB an hour"
        )


def slope(weights: Sequence[int]) -> float:
    """Return bytes a block: the median slope over pairs half the run apart (Theil-Sen).

    A median does not mind the steps in which an allocator takes and gives back.
    """
    half = max(len(weights) // 2, 1)
    pairs = zip(weights, weights[half:], strict=False)
    return statistics.median([(later - earlier) / half for earlier, later in pairs] or [0.0])


def _span(weights: Sequence[int]) -> str:
    return f"{weights[0] / MIB:.1f} to {weights[-1] / MIB:.1f} MiB"


async def soak(soaked: Soak, folder: Path, tell: Callable[[str], None] = lambda _: None) -> Weighed:
    """Run the market and the keeper; raises AssertionError where the keeper ends by itself."""
    weighed = Weighed()
    async with AsyncExitStack() as stack:
        market = await stack.enter_async_context(Market(soaked.logs).served())
        document = folder / "document.json"
        await asyncio.to_thread(document.write_bytes, market.document())
        keeper = await _start(soaked, market.url, document, folder)
        stack.push_async_callback(_end, keeper)
        assert keeper.stdout is not None
        began, blocks = time.monotonic(), 0
        while len(weighed.bytes) < soaked.blocks and time.monotonic() - began < soaked.seconds:
            turn = time.monotonic()
            await market.mine()
            told = await asyncio.wait_for(until_told(keeper.stdout), 60)
            assert told is not None, "the keeper has ended"
            assert told["number"] == market.head.number
            blocks += 1
            if blocks == soaked.warming:
                tell(f"warm after {blocks} blocks: {told['bytes'] / MIB:.1f} MiB")
                first = time.monotonic()
            elif blocks > soaked.warming:
                weighed.bytes.append(told["bytes"])
                weighed.held.append(told["held"])
                weighed.seconds = time.monotonic() - first
                if len(weighed.bytes) % 300 == 2:
                    tell(weighed.line())
                    await asyncio.to_thread(_prune, folder)
            await asyncio.sleep(max(0.0, soaked.pace_s - (time.monotonic() - turn)))
    return weighed


async def _start(
    soaked: Soak, url: str, document: Path, folder: Path
) -> asyncio.subprocess.Process:
    journal = folder / "journal"
    await asyncio.to_thread(journal.mkdir)
    command = [sys.executable, "-m", "tests.soak.keeper", url, str(document), str(journal)]
    command += ["--undo", str(soaked.undo), *(["--leak"] if soaked.leak else [])]
    return await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, limit=STREAM_BYTES_MAX
    )


async def _end(keeper: asyncio.subprocess.Process) -> None:
    if keeper.returncode is None:
        keeper.kill()
    await keeper.wait()


def _prune(folder: Path) -> None:
    """Let go of the journal's full files: a soak of hours must not fill the disk."""
    files = sorted((folder / "journal").iterdir(), key=lambda file: file.stat().st_mtime)
    for file in files[:-1]:
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()
