"""An event loop on virtual time: it jumps to the next timer instead of waiting for it.

Work that the code under test hands to threads runs at once, in the caller's place, so that a run
is one total order and two runs of a seed are equal. It must not know what runs on it.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar


T = TypeVar("T")

START_NS = 1_800_000_000 * 10**9


class _Jump(selectors.DefaultSelector):
    """A selector that never waits: where nothing is ready, the loop's time goes on."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("the simulation waits for something that no timer will bring")
        if not ready and timeout:
            self.loop.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Use it as `asyncio.Runner(loop_factory=VirtualLoop)`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        jump = _Jump()
        jump.loop = self
        super().__init__(jump)

    def time(self) -> float:
        """Return virtual seconds."""
        return self.now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run the work now; the future it returns is done."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - a thread's error is its future's, whatever it is
            future.set_exception(error)
        return future


def virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run work on virtual time: its waits cost nothing, and no machine is too slow for it."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


class VirtualClock:
    """The `Clock` port over a virtual loop's time; unix time begins at `START_NS`."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        """Return unix time in nanoseconds."""
        return START_NS + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        """Return virtual nanoseconds since the loop began."""
        return round(self._loop.now_s * 1e9) + 1
