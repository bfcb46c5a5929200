"""The executors that never sign: "observe" tells what would be tried, "simulate" tries it.

They hold no key, no ledger and no lane, so that neither can send whatever else is wrong.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from keeper.chain.sending.preflight import Preflight
from keeper.domain.effects import Command
from keeper.domain.events import CommandRefused, PreflightPassed
from keeper.domain.units import Address
from keeper.ports import Post


class ObservingExecutor:
    """Mode "observe": every command ends here."""

    def __init__(self) -> None:
        self._waiting: deque[Command] = deque()
        self._wake = asyncio.Event()

    def submit(self, commands: Sequence[Command]) -> None:
        """Take commands in rank order."""
        self._waiting.extend(commands)
        self._wake.set()

    async def run(self, post: Post) -> None:
        """Refuse everything until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                command = self._waiting.popleft()
                post(CommandRefused(command.id, "observe", "observe_mode", ""))


class SimulatingExecutor:
    """Mode "simulate": every command is tried from `sender` at its decided block, and not sent."""

    def __init__(
        self, preflight: Preflight, sender: Address, commands_waiting_max: int = 1_024
    ) -> None:
        self._preflight = preflight
        self._sender = sender
        self._commands_waiting_max = commands_waiting_max
        self._waiting: deque[Command] = deque()
        self._refused: deque[CommandRefused] = deque()
        self._wake = asyncio.Event()

    def submit(self, commands: Sequence[Command]) -> None:
        """Take commands in rank order."""
        for command in commands:
            if len(self._waiting) < self._commands_waiting_max:
                self._waiting.append(command)
            else:
                self._refused.append(CommandRefused(command.id, "simulate", "queue_full", ""))
        self._wake.set()

    async def run(self, post: Post) -> None:
        """Try what comes until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._refused:
                post(self._refused.popleft())
            commands = list(self._waiting)
            self._waiting.clear()
            for portion in self._preflight.portions(commands):
                await self._try(portion, post)

    async def _try(self, portion: list[Command], post: Post) -> None:
        senders = [command.sender or self._sender for command in portion]
        verdicts = await self._preflight.check(portion, senders)
        for command, verdict in zip(portion, verdicts, strict=True):
            if verdict.reason is not None:
                post(CommandRefused(command.id, "preflight", verdict.reason, verdict.detail))
            else:
                post(PreflightPassed(command.id))
                post(CommandRefused(command.id, "simulate", "would_send", ""))
