"""Several awaits at once, a bounded number at a time, answers in the order asked."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar


T = TypeVar("T")


async def in_order(works: Sequence[Callable[[], Awaitable[T]]], limit: int) -> list[T]:
    """Return every work's result, in order, with at most `limit` under way.

    The first to fail cancels the others and its error is raised bare, not in a group: what fails
    here is an endpoint, and the caller handles one endpoint's one error.
    """
    slots = asyncio.Semaphore(limit)

    async def one(work: Callable[[], Awaitable[T]]) -> T:
        async with slots:
            return await work()

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(work)) for work in works]
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [task.result() for task in running]
