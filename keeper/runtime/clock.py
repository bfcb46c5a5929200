"""The one place where time is read, and the source that makes time pass when nothing happens.

Must not know what anyone does with the time.
"""

import asyncio
import time

from keeper.domain.events import Ticked
from keeper.domain.units import NS_PER_MS
from keeper.ports import Post


class SystemClock:
    """The host's clocks, behind the `Clock` port."""

    def now_ns(self) -> int:
        """Return unix time in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds of a clock that never goes back; its zero means nothing."""
        return time.monotonic_ns()


class Ticker:
    """A `Source` that posts `Ticked` every `period_ms`, so that deadlines fall due in silence."""

    def __init__(self, period_ms: int) -> None:
        assert period_ms > 0, "a ticker without a period would flood the inbox"
        self._period_s = period_ms * NS_PER_MS / 1e9

    async def run(self, post: Post) -> None:
        """Post until cancelled; a tick that comes late is not made up for."""
        while True:
            await asyncio.sleep(self._period_s)
            post(Ticked())
