"""A chain that answers what a test says, for the rooms that only read it."""

from __future__ import annotations

from collections.abc import Sequence

from keeper.domain.events import Log
from keeper.liquidation import executor
from keeper.ports import CallFailed, Header


HEAD = Header(9, "0x" + 64 * "9", "0x" + 64 * "8", 1_000, 1, 30_000_000)
OWNER = "0x" + 40 * "c"


class Answers:
    """A `ChainReader` over one executor that lets `lanes` in and may call what `leave` says."""

    def __init__(self, lanes: Sequence[str], *, code: str = "0x6001") -> None:
        self.lanes = tuple(lanes)
        self.code_of: dict[str, str] = {}
        self.plain_code = code
        self.owner = OWNER
        self.paused = False
        self.leave = True
        self.silent = False  # the address is some other contract

    async def header(self, number: int | str) -> Header:
        return HEAD

    async def code(self, address: str, block: str) -> str:
        return self.code_of.get(address, self.plain_code)

    async def logs(
        self, addresses: Sequence[str], topics: Sequence[str], first: int, last: int
    ) -> list[tuple[int, str, Log]]:
        return []

    async def call_many(
        self, calls: Sequence[tuple[str, str]], block: str, gas: int | None = None
    ) -> list[str | CallFailed]:
        return [self._answer(data[2:10], data[10:]) for _, data in calls]

    def _answer(self, selector: str, rest: str) -> str | CallFailed:
        if self.silent:
            return CallFailed("0x")
        answers = {
            executor.OWNER: int(self.owner, 16),
            executor.PAUSED: int(self.paused),
            executor.IS_LANE: int(f"0x{rest[-40:]}" in self.lanes),
            executor.PERMISSION_OF: 77,
            executor.IS_PERMITTED: int(self.leave),
        }
        return f"0x{answers[selector]:064x}"
