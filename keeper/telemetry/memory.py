"""Resident memory, watched: a gauge, a soft limit that sheds history, a hard one that ends the run.

Queues and tables are bounded one by one, each by its own limit; this is the wall behind them. What
is shed is told by its owner and is never needed to decide or to send. It must not know what it is.
"""

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.domain.effects import Notice
from keeper.domain.errors import OperatorError
from keeper.domain.units import NS_PER_MS, NS_PER_S


PERIOD_MS: Final = 1_000
# While it stays above the soft limit, history is shed again after so many looks.
SHED_EVERY_LOOKS: Final = 60
_STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

Tell = Callable[[Notice], None]


class MemoryExceeded(OperatorError):
    """The process holds more than its hard limit; it ends before the system ends it unasked."""

    exit_code = 70

    def __init__(self, resident_bytes: int, hard_bytes: int) -> None:
        self.resident_bytes = resident_bytes
        self.hard_bytes = hard_bytes
        super().__init__(
            f"{resident_bytes} bytes resident, telemetry.memory_hard_bytes is {hard_bytes}; "
            "start again (nothing is lost: the ledger has what was sent), or raise the limit"
        )


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Bytes resident from which on history is shed, and the run ended; 0 is no limit."""

    soft_bytes: int
    hard_bytes: int


class MemoryWatch:
    """A `Service` that looks at the process's memory once a second.

    `shed` is by name what lets go of history; `resident` reads the bytes held now.
    """

    def __init__(
        self,
        limits: MemoryLimits,
        tell: Tell,
        shed: Mapping[str, Callable[[], None]],
        resident: Callable[[], int] | None = None,
    ) -> None:
        self._limits = limits
        self._tell = tell
        self._shed = dict(shed)
        self._resident = resident or resident_bytes
        self._looks_above = 0

    async def run(self) -> None:
        """Look until cancelled; raises MemoryExceeded."""
        while True:
            self.look()
            await asyncio.sleep(PERIOD_MS * NS_PER_MS / NS_PER_S)

    def look(self) -> None:
        """Compare once; raises MemoryExceeded at the hard limit."""
        resident = self._resident()
        if 0 < self._limits.hard_bytes <= resident:
            raise MemoryExceeded(resident, self._limits.hard_bytes)
        if not 0 < self._limits.soft_bytes <= resident:
            self._looks_above = 0
            return
        if self._looks_above % SHED_EVERY_LOOKS == 0:
            self._let_go(resident)
        self._looks_above += 1

    def _let_go(self, resident: int) -> None:
        for each in self._shed.values():
            each()
        give_back()
        fields = (
            ("resident_bytes", resident),
            ("soft_bytes", self._limits.soft_bytes),
            ("after_bytes", self._resident()),
            ("shed", ", ".join(self._shed)),
        )
        self._tell(Notice("memory_soft_limit", "warning", fields))


def resident_bytes() -> int:
    """Return the bytes of this process that are in memory; 0 where the system does not say."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def give_back() -> None:
    """Collect what is no longer used, and let the allocator return its free pages."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except AttributeError:
        return  # another C library: its pages come back when it likes
