"""Hand-written stand-ins for the sockets of the runtime: clock, journal, machine, executor."""

import asyncio
from collections.abc import Sequence

from keeper.domain.effects import NOTHING, Assessment, Call, Command, Effects
from keeper.domain.errors import StorageError
from keeper.domain.events import BlockSealed, Entry, Event, Started
from keeper.ports import Post, Timing


STARTED = Started("0.1.0", "ab" * 32, "snapshot.json", "cd" * 32, 1)


class SteppingClock:
    """A clock that goes on by one millisecond each time it is read."""

    def __init__(self) -> None:
        self.ns = 1_767_225_600_000_000_000

    def now_ns(self) -> int:
        self.ns += 1_000_000
        return self.ns

    def monotonic_ns(self) -> int:
        self.ns += 1_000_000
        return self.ns


class ListJournal:
    """A journal in memory that can be told to fail; `steps` shows the order of the engine."""

    def __init__(self, steps: list[str] | None = None, fail_at: str = "") -> None:
        self.steps = steps if steps is not None else []
        self.fail_at = fail_at
        self.closed = False

    def record(self, entry: Entry) -> None:
        self._step(f"record {entry.seq}")

    def seal(self, entry: Entry, effects: Effects) -> None:
        self._step(f"seal {entry.seq}")

    def close(self) -> None:
        self._step("close")
        self.closed = True

    def _step(self, step: str) -> None:
        if step == self.fail_at:
            raise StorageError("journal", "disk full")
        self.steps.append(step)


class CountingMachine:
    """Asks for one command on every head, numbered; counts what it folded."""

    def __init__(self, steps: list[str] | None = None, usd: float = 1.5, bias: int = 0) -> None:
        self.steps = steps if steps is not None else []
        self.usd = usd
        self.bias = bias
        self.folded: list[Event] = []

    def fold(self, entry: Entry) -> None:
        self.steps.append(f"fold {entry.seq}")
        self.folded.append(entry.event)

    def decide(self, entry: Entry) -> Effects:
        self.steps.append(f"decide {entry.seq}")
        event = entry.event
        if not isinstance(event, BlockSealed) or not event.at_tip:
            return NOTHING
        number = event.number
        assessed = Assessment(
            "derive", number, 3, 9, 0, 0, 1 + self.bias, 0, self.usd, -self.usd, 0, 1, 1
        )
        return Effects((command(number),), (), (assessed,))


class ListExecutor:
    """Takes commands and does nothing else until it is cancelled."""

    def __init__(self, steps: list[str] | None = None) -> None:
        self.steps = steps if steps is not None else []
        self.commands: list[Command] = []

    def submit(self, commands: Sequence[Command]) -> None:
        self.steps.extend(f"submit {each.id}" for each in commands)
        self.commands.extend(commands)

    async def run(self, post: Post) -> None:
        await forever()


class ListObserver:
    """Keeps what it saw."""

    def __init__(self, steps: list[str] | None = None) -> None:
        self.steps = steps if steps is not None else []
        self.timings: list[Timing] = []

    def observe(self, entry: Entry, effects: Effects, timing: Timing) -> None:
        self.steps.append(f"observe {entry.seq}")
        self.timings.append(timing)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def head(number: int, *, at_tip: bool = True, chain_id: int = 957) -> BlockSealed:
    return BlockSealed(
        chain_id, number, f"0x{number:064x}", f"0x{number - 1:064x}", number, 7, 8, at_tip, 9, ()
    )


def command(number: int) -> Command:
    call = Call("0x" + "ab" * 20, "0x12")
    return Command(
        number, "derive", 12, "start_auction", call, 10**6, 10**17, 0, number + 1, 0, None, number,
        f"0x{number:064x}",
    )  # fmt: skip
