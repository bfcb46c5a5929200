"""Breakers: what stops new bytes from being signed, each under its own word.

Two latch, durably, until an operator resets them: too many reverts in a window, too much lost in a
day. The others last as long as what they see: the next base fee, the kill-switch file, and doubts
told from outside (oracle state, heads that disagree). Bytes that are already committed are still
rebroadcast, and a nonce may still be taken back. It must not judge commands or read the chain.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from keeper.chain.ledger.store import Ledger
from keeper.ports import Clock


REVERTS: Final = "reverts"
LOSS: Final = "loss_day"
GAS_PRICE: Final = "gas_price"
KILL_SWITCH: Final = "kill_switch"
_HOUR_NS: Final = 3_600 * 10**9
_DAY_NS: Final = 24 * _HOUR_NS

# A doubt is looked at before each signing: true stops, under the name it was given by.
Doubts = Mapping[str, Callable[[], bool]]


@dataclass(frozen=True, slots=True)
class BreakerParameters:
    """Where each breaker opens; `kill_switch_file` is a path, empty for none."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    reverts_max: int = 16  # in the window: so many are still allowed
    reverts_window_blocks: int = 100
    loss_day_wei_max: int = 10**18  # gas of what reverted or was cancelled, a day of unix time
    base_fee_wei_max: int = 1_000 * 10**9
    hurried_loss_hour_wei_max: int = 10**16  # of what was sent untried; beyond: trials first
    kill_switch_file: str = ""


class Breakers:
    """The breakers of one executor, over the ledger's counts."""

    def __init__(
        self, parameters: BreakerParameters, doubts: Doubts, ledger: Ledger, clock: Clock
    ) -> None:
        self._parameters = parameters
        self._doubts = dict(sorted(doubts.items()))
        self._ledger = ledger
        self._clock = clock
        self._file = Path(parameters.kill_switch_file) if parameters.kill_switch_file else None
        self.tripped: dict[str, str] = {}
        self._hurried = (0, 0)  # an hour of unix time, and what was lost in it

    def may_hurry(self, at_risk_wei: int) -> bool:
        """Tell whether so much more may be put at risk in this hour by sending before a trial.

        `at_risk_wei` counts what is in flight already: it may all revert.
        """
        hour, lost_wei = self._hurried
        if hour != self._clock.now_ns() // _HOUR_NS:
            lost_wei = 0
        return lost_wei + at_risk_wei <= self._parameters.hurried_loss_hour_wei_max

    def refusal(self, base_next_wei: int) -> str | None:
        """Return the breaker that is open, None where new bytes may be signed."""
        if self._file is not None and self._file.exists():
            return KILL_SWITCH
        if self.tripped:
            return min(self.tripped)
        if base_next_wei > self._parameters.base_fee_wei_max:
            return GAS_PRICE
        return next((name for name, holds in self._doubts.items() if holds()), None)

    async def look(self, number: int) -> None:
        """Count again after a revert, a cancel or a restart; raises StorageError.

        What trips is durable before this returns, so a restart cannot reset it.
        """
        now_ns = self._clock.now_ns()
        parameters = self._parameters
        for row in await self._ledger.breakers():
            if row.tripped:
                self.tripped.setdefault(row.name, row.detail)
        reverts, loss_wei = await self._ledger.losses(
            number - parameters.reverts_window_blocks, now_ns // _DAY_NS
        )
        hour = now_ns // _HOUR_NS
        self._hurried = (hour, await self._ledger.hurried_loss(hour))
        if reverts > parameters.reverts_max:
            await self._trip(
                REVERTS, f"{reverts} in {parameters.reverts_window_blocks} blocks", now_ns
            )
        if loss_wei > parameters.loss_day_wei_max:
            await self._trip(LOSS, f"{loss_wei} wei", now_ns)

    async def _trip(self, name: str, detail: str, now_ns: int) -> None:
        if name not in self.tripped:
            await self._ledger.trip(name, detail, now_ns)
            self.tripped[name] = detail
