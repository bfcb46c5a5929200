"""Reads asked of several endpoints: the next one when the first is slow, wrong or gone.

For reads only: it asks twice what may be asked twice. It knows which errors are a node's own state
(it has not seen the block yet) and which are an answer, and nothing of what is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

from keeper.chain.link.budget import SENDS
from keeper.chain.link.transport import Request, Rpc
from keeper.domain.errors import (
    ConfigError,
    DeadlineExceeded,
    EndpointError,
    EndpointUnreachable,
    InvariantViolation,
    RpcError,
)


T = TypeVar("T")

# A node that is behind, or on another branch, says so in one of these words: no answer at all.
_NOT_THERE: Final = (
    "header not found",
    "unknown block",
    "block not found",
    "resource not found",
    "not canonical",
    "missing trie node",
    "indexing is in progress",
)


@dataclass(frozen=True, slots=True)
class HedgeConfig:
    """After how long a second endpoint is asked, and how many are asked at most."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    hedge_after_ms: int = 250
    endpoints_max: int = 3

    def __post_init__(self) -> None:
        for key in ("hedge_after_ms", "endpoints_max"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"hedge.{key}", getattr(self, key), "use a positive number")


class HedgedRpc:
    """An `Rpc` over those that `choose` returns, best first; the first answer counts.

    `hedged` counts second questions out of slowness, `failed_over` those out of an error.
    """

    def __init__(
        self, name: str, choose: Callable[[], Sequence[Rpc]], config: HedgeConfig | None = None
    ) -> None:
        self.hedged = 0
        self.failed_over = 0
        self._name = name
        self._choose = choose
        self._config = config or HedgeConfig()

    @property
    def name(self) -> str:
        """Return the configured name."""
        return self._name

    async def call(self, method: str, params: Sequence[Any], *, deadline_s: float) -> Any:
        """See `Rpc.call`; what no endpoint answers raises what the last of them raised."""
        _check_reads([method])
        return await self._first(
            lambda rpc, left_s: rpc.call(method, params, deadline_s=left_s), deadline_s
        )

    async def batch(self, calls: Sequence[Request], *, deadline_s: float) -> list[Any | RpcError]:
        """See `Rpc.batch`; one endpoint answers the whole of it."""
        _check_reads([method for method, _ in calls])

        partly: list[list[Any | RpcError]] = []

        async def ask(rpc: Rpc, left_s: float) -> list[Any | RpcError]:
            answers = await rpc.batch(calls, deadline_s=left_s)
            for answer in answers:
                if isinstance(answer, RpcError) and not is_answer(answer):
                    partly.append(answers)
                    raise answer
            return answers

        try:
            return await self._first(ask, deadline_s)
        except EndpointError:
            if not partly:
                raise
            return partly[-1]  # nobody had all of it: each part says what it lacks

    async def _first(self, ask: Callable[[Rpc, float], Awaitable[T]], deadline_s: float) -> T:
        """Ask one endpoint after another until one answers; all end with the deadline."""
        waiting = list(self._choose())[: self._config.endpoints_max]
        running: set[asyncio.Task[T]] = set()
        failure: EndpointError = EndpointUnreachable(self._name, "no endpoint is connected")
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + deadline_s
        try:
            while waiting or running:
                left_s = ends_s - loop.time()
                if left_s <= 0:
                    raise DeadlineExceeded(self._name, f"no answer in {deadline_s} s")
                if waiting:
                    running.add(asyncio.ensure_future(ask(waiting.pop(0), left_s)))
                patience_s = self._config.hedge_after_ms / 1000 if waiting else left_s
                done, running = await asyncio.wait(
                    running,
                    timeout=min(patience_s, left_s),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                # All are looked at first: an error nobody looks at is reported as lost.
                for task, error in [(task, task.exception()) for task in done]:
                    if error is None:
                        return task.result()
                    if not isinstance(error, EndpointError) or is_answer(error):
                        raise error
                    failure = error
                self.failed_over += bool(done and waiting)
                self.hedged += bool(not done and waiting)
            raise failure
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def is_answer(error: EndpointError) -> bool:
    """Tell whether an error is the chain's answer, which every node would give: a revert, say."""
    if not isinstance(error, RpcError):
        return False
    words = error.message.lower()
    return not any(word in words for word in _NOT_THERE)


def _check_reads(methods: Sequence[str]) -> None:
    for method in methods:
        if method in SENDS:
            raise InvariantViolation(f"{method} through hedged reads")
