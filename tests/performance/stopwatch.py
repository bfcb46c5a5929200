"""Medians of repeated work, rivals taken in turn so that a loaded machine burdens all alike."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


REPEATS = 9


def medians(
    works: Mapping[str, Callable[[], Any]],
    repeats: int = REPEATS,
    before: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float]]:
    """Return median and least milliseconds of each work; one round more than counted goes first."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            before()
            began = time.perf_counter()
            work()
            if turn:
                taken[name].append(1e3 * (time.perf_counter() - began))
    return {
        name: {"ms": statistics.median(each), "ms_least": min(each)} for name, each in taken.items()
    }


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    flags: list[str] = []
    if info.exists():
        rows = dict(
            (part.strip() for part in line.split(":", 1))
            for line in info.read_text().splitlines()
            if ":" in line
        )
        model, flags = rows.get("model name", model), rows.get("flags", "").split()
    vectors = next((name for name in ("avx512f", "avx2", "sse2") if name in flags), "unknown")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "vectors": vectors,
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def p99(times: Sequence[float]) -> float:
    """Return the 99th percentile: of fewer than a hundred, the last but none."""
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.99))]
