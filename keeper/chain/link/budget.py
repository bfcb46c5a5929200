"""How often one endpoint may be asked: token buckets, and the pauses that it asked for.

Reads and sends have a bucket each, so that a snapshot never holds a transaction back. It knows
methods by name and weight, and nothing of what they ask.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from keeper.domain.errors import ConfigError, RateLimited
from keeper.domain.units import NS_PER_MS, NS_PER_S
from keeper.ports import Clock


SENDS: Final = frozenset(
    {
        "eth_sendRawTransaction",
        "eth_sendRawTransactionSync",
        "eth_sendRawTransactionConditional",
        "eth_sendPrivateTransaction",
        "eth_sendBundle",
    }
)
# What providers bill more for, in the order of magnitude that their price lists agree on.
WEIGHTS: Final[dict[str, int]] = {
    "eth_call": 2,
    "eth_getLogs": 4,
    "eth_getBlockReceipts": 10,
}


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """Weighted calls a second, and how many at once after a quiet time; 0 a second is no limit."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    weight_per_s: int = 0
    burst_weight: int = 100
    sends_per_s: int = 0
    burst_sends: int = 20
    pause_ms_max: int = 60_000  # the longest Retry-After that is honoured

    def __post_init__(self) -> None:
        for key in ("burst_weight", "burst_sends", "pause_ms_max"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"budget.{key}", getattr(self, key), "use a positive number")
        for key in ("weight_per_s", "sends_per_s"):
            if getattr(self, key) < 0:
                raise ConfigError(f"budget.{key}", getattr(self, key), "use 0 for no limit")


class Bucket:
    """A token bucket that may go into debt, so that waiters are served in the order they came."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._seen_ns = 0
        self._paused_until_ns = 0

    def wait_s(self, weight: int, now_ns: int) -> float:
        """Return how long a call of this weight would have to wait now."""
        paused_s = max(0, self._paused_until_ns - now_ns) / NS_PER_S
        if self._per_s == 0:
            return paused_s
        elapsed_s = max(0, now_ns - self._seen_ns) / NS_PER_S
        self._tokens = min(self._burst, self._tokens + elapsed_s * self._per_s)
        self._seen_ns = now_ns
        # A call heavier than the whole burst waits for a full bucket, and then goes into debt.
        missing = min(weight, self._burst) - self._tokens
        return max(paused_s, missing / self._per_s, 0.0)

    def take(self, weight: int) -> None:
        """Spend the tokens of a call that will be made."""
        self._tokens -= weight

    def pause(self, until_ns: int) -> None:
        """Let nobody through before this monotonic time; a later pause wins."""
        self._paused_until_ns = max(self._paused_until_ns, until_ns)


class Budget:
    """The buckets of one endpoint. `waited` counts calls held back, `refused` those given up."""

    def __init__(self, endpoint: str, config: BudgetConfig, clock: Clock) -> None:
        self.waited = 0
        self.refused = 0
        self._endpoint = endpoint
        self._clock = clock
        self._pause_s_max = config.pause_ms_max * NS_PER_MS / NS_PER_S
        self._reads = Bucket(config.weight_per_s, config.burst_weight)
        self._sends = Bucket(config.sends_per_s, config.burst_sends)

    async def admit(self, methods: Sequence[str], deadline_s: float) -> float:
        """Wait until the calls may be made; return what is left of their deadline.

        Raises RateLimited at once where they could not be made in time: the caller has better
        things to do than to wait for a certain failure.
        """
        bucket = self._bucket(methods)
        weight = sum(WEIGHTS.get(method, 1) for method in methods)
        wait_s = bucket.wait_s(weight, self._clock.monotonic_ns())
        if wait_s >= deadline_s:
            self.refused += 1
            raise RateLimited(self._endpoint, wait_s)
        bucket.take(weight)
        if wait_s > 0:
            self.waited += 1
            await asyncio.sleep(wait_s)
        return deadline_s - wait_s

    def limited(self, methods: Sequence[str], error: RateLimited) -> None:
        """Honour a 429: nothing of this kind is asked until the endpoint said it may be."""
        pause_s = min(error.retry_after_s, self._pause_s_max)
        now_ns = self._clock.monotonic_ns()
        self._bucket(methods).pause(now_ns + int(pause_s * NS_PER_S))

    def _bucket(self, methods: Sequence[str]) -> Bucket:
        return self._sends if any(method in SENDS for method in methods) else self._reads
