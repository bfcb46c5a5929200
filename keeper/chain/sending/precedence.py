"""Who goes first: commands that were just decided, then the booking of what came before.

Both write to one file that takes a disk's time for each commit, and only one of them is in a
hurry: receipts stay where they are. Must not know what either writes.
"""

import asyncio
from typing import Final


# The longest a block's booking waits: a trial over a slow link must not keep receipts unread.
WAIT_S_MAX: Final = 0.01


class Precedence:
    """Counts batches that were decided and are not bound yet."""

    def __init__(self) -> None:
        self._under_way = 0
        self._free = asyncio.Event()
        self._free.set()

    def begin(self) -> None:
        """Note that a batch was decided: what is booked waits from now on."""
        self._under_way += 1
        self._free.clear()

    def end(self) -> None:
        """Note that a batch is bound, or will never be."""
        self._under_way -= 1
        if self._under_way == 0:
            self._free.set()

    def waive(self) -> None:
        """Let the booking go first after all: a batch needs it done before it goes on."""
        self._free.set()

    async def turn(self) -> None:
        """Wait until no batch is under way, or one waits for us, or for `WAIT_S_MAX`."""
        try:
            async with asyncio.timeout(WAIT_S_MAX):
                await self._free.wait()
        except TimeoutError:
            self._free.set()
