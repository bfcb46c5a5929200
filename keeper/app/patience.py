"""Asking a node again that is away for a moment: a start must not end over one lost answer.

Must not know what is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError
from keeper.telemetry.logging import Lines


TRIES: Final = 7
PAUSE_MS = 100  # before the second try, doubled each time: 6 s in all

Answer = TypeVar("Answer")


async def patiently(ask: Callable[[], Awaitable[Answer]], kind: str, lines: Lines) -> Answer:
    """Return the answer; each fault of an endpoint is told as a notice of `kind`, and waited out.

    Raises EndpointError after `TRIES`, and at once whatever else `ask` raises.
    """
    for attempt in range(TRIES - 1):
        try:
            return await ask()
        except EndpointError as error:
            lines.tell(Notice(kind, "warning", (("problem", str(error)),)))
            await asyncio.sleep((PAUSE_MS << attempt) / 1000)
    return await ask()
