"""How long a link waits before the next session: its own pace, or what it was asked for."""

from __future__ import annotations

import aiohttp
import pytest

from keeper.domain.errors import EndpointError, EndpointUnreachable, RateLimited
from keeper.oracle import links
from keeper.oracle.links import Backoff, kept_open


class Stop(Exception):
    """Ends a link that would go on for ever."""


async def waits(monkeypatch: pytest.MonkeyPatch, *ends: EndpointError) -> list[float]:
    """The waits after sessions that end so, in order."""
    waited: list[float] = []
    told: list[EndpointError] = []
    coming = iter(ends)

    async def session(_: aiohttp.ClientSession) -> None:
        raise next(coming)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == len(ends):
            raise Stop

    monkeypatch.setattr(links.asyncio, "sleep", sleep)
    with pytest.raises(Stop):
        await kept_open(session, Backoff(250, 1_000), told.append)
    assert told == list(ends)
    return waited


async def test_each_wait_is_twice_the_last_up_to_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EndpointUnreachable("a", "broke")
    assert await waits(monkeypatch, *[broken] * 4) == [0.25, 0.5, 1.0, 1.0]


async def test_who_asks_to_be_left_alone_is_left_alone_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = (RateLimited("a", 7.0), RateLimited("a", 0.1))
    assert await waits(monkeypatch, *ends) == [7.0, 0.5]
