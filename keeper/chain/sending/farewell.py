"""How the executor leaves: live bytes sent once more, a short wait, the ledger folded up.

Nothing is abandoned silently: what is still live is told to the operator, and the next start takes
it up from the ledger. It must not bind or sign anything.
"""

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from keeper.chain.ledger.rows import ACT, Slot
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.dispatch import Dispatch
from keeper.chain.sending.follower import Follower, Report
from keeper.chain.sending.receipts import ChainView
from keeper.domain.errors import EndpointError, KeeperError, StorageError


@dataclass(frozen=True, slots=True)
class FarewellParameters:
    """How long inclusion is waited for, and how often the node is asked meanwhile."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    wait_ms_max: int = 4_000
    poll_ms: int = 200


class LeftLive(KeeperError):
    """So many transactions were in flight when the executor left; the next start follows them."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(f"{count} in flight; the next start takes them up")


class Farewell:
    """The end of one executor's run."""

    def __init__(
        self,
        dispatch: Dispatch,
        follower: Follower,
        ledger: Ledger,
        view: ChainView,
        parameters: FarewellParameters,
        report: Report,
    ) -> None:
        self._dispatch = dispatch
        self._follower = follower
        self._ledger = ledger
        self._view = view
        self._parameters = parameters
        self._report = report

    async def say(self) -> None:
        """Send live bytes once more, wait for their blocks, tidy up; failures are reported."""
        try:
            if await self._resend():
                try:
                    async with asyncio.timeout(self._parameters.wait_ms_max / 1000):
                        await self._wait()
                except TimeoutError:
                    self._report("farewell", LeftLive(len(self._live())))
            await self._ledger.tidy()
        except (EndpointError, StorageError) as error:
            self._report("farewell", error)

    async def _resend(self) -> bool:
        """Give every live slot's newest bytes to all routes; False where there are none.

        From the ledger, not from memory: a commit that the cancel overtook is only there.
        """
        for slot in await self._ledger.open_slots():
            self._dispatch.lanes[slot.lane].put(slot)
        live = [slot for slot in self._live() if not self._is_over(slot) and not slot.given_up]
        async with asyncio.TaskGroup() as group:
            for slot in live:
                group.create_task(self._dispatch.send(slot.last))
        return bool(live)

    async def _wait(self) -> None:
        while any(not self._is_over(slot) for slot in self._live()):
            _, block = await self._view.latest()
            if block != self._follower.last:
                await self._follower.follow(block)
                self._follower.observe()
                continue
            await asyncio.sleep(self._parameters.poll_ms / 1000)

    def _live(self) -> list[Slot]:
        return [slot for lane in self._dispatch.lanes for slot in lane.live()]

    def _is_over(self, slot: Slot) -> bool:
        return slot.last.kind == ACT and self._dispatch.tip.number >= slot.intent.deadline_block
