"""margin.kernel: worst case per underlying, ours beside C, scipy and numpy on the same arrays."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from keeper.margin.kernel.front import aligned, netted_worst
from keeper.margin.kernel.shapes import Rows
from tests.performance.stopwatch import medians


HERE = Path(__file__).parent
ACCOUNTS, UNDERLYINGS, PER_UNDERLYING, SCENARIOS, WIDTH = 100_000, 4, 300, 27, 32
FLAGS = ("-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512", "-shared", "-fPIC")


class Arrays:
    """100k accounts, 1M positions, 4 underlyings x 300 instruments, 27 scenarios; seeded."""

    def __init__(self, seed: int = 0) -> None:
        rng, count = np.random.default_rng(seed), UNDERLYINGS * PER_UNDERLYING
        held = rng.poisson(10, ACCOUNTS).clip(1, 60)
        account = np.repeat(np.arange(ACCOUNTS), held)
        home = rng.integers(0, UNDERLYINGS, ACCOUNTS)[account]
        stray = rng.integers(0, UNDERLYINGS, len(account))
        underlying = np.where(rng.random(len(account)) < 0.8, home, stray)
        chosen = underlying * PER_UNDERLYING + rng.integers(0, PER_UNDERLYING, len(account))
        key = np.unique(account * count + chosen)
        self.account, instrument = key // count, key % count
        self.start = np.searchsorted(self.account, np.arange(ACCOUNTS + 1)).astype(np.int64)
        self.instrument = instrument.astype(np.int32)
        self.quantity = rng.normal(0, 5, len(key))
        self.group = (np.arange(count) // PER_UNDERLYING).astype(np.int32)
        self.ladder = rng.normal(0, 100, (count, SCENARIOS))
        self.mark = rng.uniform(1, 500, count)
        self.cash = rng.normal(10_000, 2_000, ACCOUNTS)
        self.padded = aligned(count, WIDTH)
        self.padded[:, :SCENARIOS] = self.ladder
        self.padded[:, SCENARIOS:] = self.ladder[:, :1]
        segment = self.account * UNDERLYINGS + instrument // PER_UNDERLYING
        self.segments = np.flatnonzero(np.r_[True, segment[1:] != segment[:-1]])
        self.equity = np.bincount(self.account, self.quantity * self.mark[instrument], ACCOUNTS)
        self.equity += self.cash


def measure(folder: Path, threads: int) -> dict[str, Any]:
    """Return the medians and ratios; null with a reason where a peer is missing."""
    arrays, notes = Arrays(), {}
    rows = Rows(
        len(arrays.instrument),
        arrays.start,
        arrays.instrument,
        arrays.quantity,
        arrays.cash,
        np.zeros(ACCOUNTS),
    )
    ours = netted_worst(rows, arrays.group, arrays.ladder, arrays.mark, threads)
    if ours is None:
        return {"notes": {"ours": "no compiled kernel"}}
    works: dict[str, Callable[[], Any]] = {
        # As the C loop: the padded ladder is made once, and not in the time that is compared.
        "ours": lambda: netted_worst(rows, arrays.group, arrays.padded, arrays.mark, threads)
    }
    for name, make in (("c", _by_c), ("scipy", _by_scipy), ("numpy", _by_numpy)):
        peer = make(arrays, folder, threads)
        if isinstance(peer, str):
            notes[name] = peer
            continue
        if not np.allclose(peer(), ours, rtol=0.0, atol=1e-6):
            raise AssertionError(
                f"{name} and ours disagree: one of them is not the yardstick's sum"
            )
        works[name] = peer
    found = medians(works)
    base = found["ours"]["ms"]
    return {
        "ms": base,
        "peers": found,
        "ratio_c": base / found["c"]["ms"] if "c" in found else None,
        "speedup_scipy": found["scipy"]["ms"] / base if "scipy" in found else None,
        "speedup_numpy": found["numpy"]["ms"] / base,
        "notes": notes,
    }


def _by_c(arrays: Arrays, folder: Path, threads: int) -> Callable[[], Any] | str:
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        return "no C compiler (cc) on this machine"
    library = folder / "stress_loop.so"
    source = str(HERE / "stress_loop.c")
    for flags in (FLAGS, tuple(flag for flag in FLAGS if "512" not in flag)):
        command = [compiler, *flags, "-o", str(library), source, "-lpthread"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode == 0:
            break
    else:
        return f"the C compiler failed: {built.stderr.strip()[:200]}"
    stress = ctypes.CDLL(str(library.resolve())).stress
    out = np.empty(ACCOUNTS)
    columns = (arrays.start, arrays.instrument, arrays.quantity, arrays.group, arrays.padded)
    pointers = [
        each.ctypes.data_as(ctypes.c_void_p) for each in (*columns, arrays.mark, arrays.cash, out)
    ]

    def by_c() -> np.ndarray:
        stress(*pointers, ctypes.c_long(ACCOUNTS), ctypes.c_int(threads))
        return out

    return by_c


def _by_scipy(arrays: Arrays, folder: Path, threads: int) -> Callable[[], Any] | str:
    try:
        from scipy import sparse  # noqa: PLC0415 - a peer that may be missing
    except ImportError:
        return "scipy is not installed"
    ends = np.r_[arrays.segments, len(arrays.instrument)]
    shape = len(arrays.segments), len(arrays.mark)
    held = sparse.csr_matrix((arrays.quantity, arrays.instrument, ends), shape=shape)
    owner = arrays.account[arrays.segments]

    def by_scipy() -> Any:
        worst = (held @ arrays.ladder).min(axis=1)
        return arrays.equity + np.bincount(owner, worst, ACCOUNTS)

    return by_scipy


def _by_numpy(arrays: Arrays, folder: Path, threads: int) -> Callable[[], Any]:
    owner = arrays.account[arrays.segments]

    def by_numpy() -> Any:
        values = arrays.quantity[:, None] * arrays.ladder[arrays.instrument]
        worst = np.add.reduceat(values, arrays.segments, axis=0).min(axis=1)
        return arrays.equity + np.bincount(owner, worst, ACCOUNTS)

    return by_numpy
