"""The compiled kernel's front: is there one, the shapes it takes, and its two threads.

numba is imported here alone, when first asked for, and may be missing: then `compiled` says why and
callers take their numpy path; so they do where a loop fails (`troubles`). Threads share accounts
out, each account is computed by one of them, so their number changes no bit. The disk cache stands
beside the source or in NUMBA_CACHE_DIR.
Must not know what a method is.
"""

import importlib
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from threading import Thread
from typing import Any, Final

import numpy as np

from keeper.margin.book import Book, Floats, Indices
from keeper.margin.kernel.shapes import Rows, Units


THREADS: Final = 2
PIECE: Final = 8192  # accounts (or options) that are worth another thread: starting it has a price
HERE: Final = Path(__file__).parent
TROUBLES_MAX: Final = 16
COLUMNS_STEP: Final = 8  # a ladder row is padded to whole registers

Loop = Callable[..., int]

_TROUBLES: deque[str] = deque(maxlen=TROUBLES_MAX)


@dataclass(frozen=True, slots=True)
class Loops:
    """The compiled loops, or why there are none.

    reason  empty where there are some
    """

    reason: str
    stress: Loop | None = None
    requirement: Loop | None = None
    values: Loop | None = None
    differing: Loop | None = None
    falls: Loop | None = None
    bounds: Loop | None = None
    steps: Loop | None = None
    cells: Loop | None = None


@cache
def compiled() -> Loops:
    """Return the loops; imports numba, and compiles or reads the disk cache when first run.

    The cache stands under NUMBA_CACHE_DIR, else beside the source, in a folder of this edition of
    the loops: numba looks at the age of the file of a function, not of what the function calls, and
    another edition's cache cannot even be read where shapes have changed.
    """
    try:
        numba = importlib.import_module("numba")
        before = numba.config.CACHE_DIR
        base = before or str(HERE / "__pycache__")
        numba.config.CACHE_DIR = f"{base}/keeper-{edition():08x}"
        try:
            accounts, ladder, screen, grid = (
                importlib.import_module(f"keeper.margin.kernel.{name}")
                for name in ("accounts", "ladder", "screen", "cells")
            )
        finally:
            numba.config.CACHE_DIR = before
    except (ImportError, OSError, RuntimeError) as error:
        # Absent, not fit for this machine, or nowhere to keep a cache: numpy serves as well.
        return Loops(f"{type(error).__name__}: {error}")
    margin = accounts.stress, accounts.requirement, ladder.values
    screening = screen.differing, screen.falls, screen.bounds, screen.steps
    return Loops("", *margin, *screening, grid.cells)


def edition() -> int:
    """Return a number that changes with the loops' sources."""
    sources = sorted(HERE.glob("*.py"))
    return zlib.crc32(b"".join(source.read_bytes() for source in sources))


def troubles() -> tuple[str, ...]:
    """Return what went wrong with compiled loops lately: numpy answered in their place."""
    return tuple(_TROUBLES)


def width_of(count: int) -> int:
    """Return how many numbers a ladder row of `count` columns is padded to."""
    return max(COLUMNS_STEP, -(-count // COLUMNS_STEP) * COLUMNS_STEP)


def aligned(rows: int, width: int) -> Floats:
    """Return zeros (rows, width) from a 64-byte boundary on: no ladder row straddles a line more.

    It costs a fifth of the speed where it does.
    """
    room = np.zeros(rows * width + 8)
    first = (-room.ctypes.data // 8) % 8
    return room[first : first + rows * width].reshape(rows, width)


def blank(width: int) -> tuple[float, ...]:
    """Return the zeros whose number tells the loops the width."""
    return tuple(repeat(0.0, width))


def rows_of(book: Book) -> Rows | None:
    """Return the rows; None where the columns' lengths contradict each other.

    The loops trust lengths and look at every start and instrument themselves.
    """
    count, rows = book.accounts, len(book.instrument)
    if len(book.start) != count + 1 or len(book.carried) != count or len(book.quantity) != rows:
        return None
    return Rows(rows, book.start, book.instrument, book.quantity, book.cash, book.carried)


def share(loop: Loop, count: int, arguments: tuple[object, ...], threads: int = THREADS) -> bool:
    """Run `loop` over 0..count-1, piece by piece, on threads; return whether all were sound.

    The pieces are handed out as they are asked for: a thread that is held up delays one piece.
    """
    arguments = tuple(_whole(each) for each in arguments)
    workers = min(threads, count // PIECE)
    if workers <= 1:
        return _run(loop, 0, count, arguments) == 0
    pieces = workers * min(3, count // (workers * PIECE))
    waiting = iter(range(pieces))
    found: list[int] = []

    def work() -> None:
        found.extend(
            _run(loop, count * piece // pieces, count * (piece + 1) // pieces, arguments)
            for piece in waiting
        )

    others = [Thread(target=work) for _ in range(workers - 1)]
    for other in others:
        other.start()
    work()
    for other in others:
        other.join()
    return len(found) == pieces and not any(found)


def _run(loop: Loop, first: int, last: int, arguments: tuple[object, ...]) -> int:
    """Return the loop's answer; not 0 where compiling it or its disk cache failed."""
    try:
        return loop(first, last, *arguments)
    except Exception as error:  # noqa: BLE001 - numba's own errors have no common class
        _TROUBLES.append(
            f"{getattr(loop, '__name__', loop)}: {type(error).__name__}: {error}"[:500]
        )
        return -1


def _whole(argument: Any) -> Any:
    """Return the argument with its arrays in one piece: the loops read them through pointers."""
    if not hasattr(argument, "_fields"):
        return argument
    return type(argument)(
        *(
            np.require(each, requirements=["C", "A"]) if isinstance(each, np.ndarray) else each
            for each in argument
        )
    )


def _padded(ladder: Floats, width: int) -> Floats:
    """Return the ladder as whole registers from a line's start on; as it is where it is so."""
    if (
        ladder.shape[1] == width
        and ladder.dtype == np.float64
        and ladder.flags.c_contiguous
        and ladder.ctypes.data % 64 == 0
    ):
        return ladder
    table = aligned(len(ladder), width)
    table[:, : ladder.shape[1]] = ladder
    table[:, ladder.shape[1] :] = ladder[:, :1]  # padding that never is lower
    return table


def netted_worst(
    rows: Rows, group: Indices, ladder: Floats, mark: Floats, threads: int = THREADS
) -> Floats | None:
    """Return cash + value at mark + the worst case of each group, summed over groups, (account,).

    group   (instrument,) int32 >= 0, ascending where positions are: an underlying, for instance
    ladder  (instrument, scenario) P&L of one unit, USD
    mark    (instrument,) USD

    None where there is no compiled kernel, or where the rows are not in canonical order.
    """
    stress = compiled().stress
    if stress is None:
        return None
    width = width_of(ladder.shape[1])
    table = _padded(ladder, width)
    none = np.zeros(0)
    flat = table.reshape(-1)
    units = Units(len(mark), width, flat, group, group, mark, none, none, none, none, none)
    out = np.zeros(len(rows.cash))
    sound = share(stress, len(out), (rows, units, blank(width), out), threads)
    return out if sound else None
