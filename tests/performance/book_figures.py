"""Figures of the PMRM_2 book: everything moved, a typical block, a quiet one, a million, the grid.

`python -m tests.performance.book_figures WHAT` prints one as JSON: what is measured of a whole
process (memory, start) runs in one of its own.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from keeper.margin.book import Book, Market, Result
from keeper.margin.kernel.grid import forward_grid, moved
from keeper.margin.kernel.warm import warm
from keeper.margin.methods.pmrm2 import Pmrm2
from keeper.margin.netting import Places
from keeper.margin.screen import Screen
from tests.performance.market_book import Measured, beta, measured
from tests.performance.stopwatch import REPEATS, medians


GRID = np.linspace(-0.5, 0.5, 41), np.linspace(-0.4, 0.4, 21)


def everything(found: Measured, threads: int) -> dict[str, Any]:
    """Return PMRM_2 in full, ours by both paths: every price new, every account computed."""
    ours, plain = Pmrm2(found.parameters, threads=threads), Pmrm2(found.parameters, threads=0)
    figures = medians({"ours": lambda: ours.require(found.book, found.market)})
    figures |= medians({"numpy": lambda: plain.require(found.book, found.market)}, 3)
    price = medians({"ladder": lambda: ours.price(None, found.market)})
    count = {"accounts": found.book.accounts, "positions": len(found.book.instrument)}
    speedup = figures["numpy"]["ms"] / figures["ours"]["ms"]
    return {**figures["ours"], **count, "speedup_own_numpy": speedup, "parts": price}


def blocks(found: Measured, threads: int, *, quiet: bool) -> dict[str, Any]:
    """Return what a block costs with the screen, block after block; every answer is checked.

    typical: all spots moved 0.3 %, all vols 0.5 %, up and down in turn. quiet: one quote moved
    0.1 %, and another 1 % of the accounts changed a position: they are named, as a venue that
    folds logs can. The check names nobody: it compares every row.
    """
    method, screen, watched = Pmrm2(found.parameters, threads=threads), Screen(), Screen()
    screen.require(method, found.book, found.market)
    watched.require(method, found.book, found.market)
    taken, computed = [], []
    played = list(_blocks(found, quiet=quiet))
    for book, market, changed in played:
        began = time.perf_counter()
        screening = screen.require(method, book, market, changed=changed)
        taken.append(1e3 * (time.perf_counter() - began))
        computed.append(screening.computed)
    for book, market, _ in played:  # once more, aside: a check would warm or cool what is timed
        _check(watched.require(method, book, market).result, method.require(book, market))
    taken, computed = taken[1:], computed[1:]
    half = len(taken) // 2
    return {
        "ms": sorted(taken)[half],
        "ms_least": min(taken),
        "computed": sorted(computed)[half],
        "blocks": len(taken),
    }


def grid(threads: int) -> dict[str, Any]:
    """Return the risk view of 10k accounts: 41 spot x 21 vol moves, each computed in full."""
    found = measured(10_000)
    method, follows = Pmrm2(found.parameters, threads=1), beta(found.market)
    spent = []

    def ours() -> None:
        began = time.process_time()
        forward_grid(method, found.book, found.market, GRID, follows, threads)
        spent.append(1e3 * (time.process_time() - began))

    figure = medians({"ours": ours})["ours"]
    return {**figure, "cpu_ms_least": min(spent)}


def million(threads: int) -> dict[str, Any]:
    """Return a million accounts, everything moved, and the most memory of the process."""
    found = measured(1_000_000)
    method = Pmrm2(found.parameters, threads=threads)
    figure = medians({"ours": lambda: method.require(found.book, found.market)})["ours"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return {**figure, "rss_mib": peak, "positions": len(found.book.instrument)}


def start() -> dict[str, Any]:
    """Return from import to first result, in processes of their own with a warm cache."""
    warm()
    program = (
        "import time; began = time.perf_counter()\n"
        "from keeper.margin.kernel.warm import first_result\n"
        "first_result(); print(1e3 * (time.perf_counter() - began))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    taken = [float(subprocess.check_output(command, env=environment)) for _ in range(6)][1:]
    return {"ms": sorted(taken)[2], "ms_least": min(taken)}


def _blocks(found: Measured, *, quiet: bool) -> Iterator[tuple[Book, Market, Places]]:
    rng, book, market = np.random.default_rng(1), found.book, found.market
    follows, option, nobody = beta(market), 1_000, np.zeros(0, np.intp)
    for turn in range(REPEATS + 1):
        if not quiet:
            side = 1.0 if turn % 2 else -1.0
            yield book, moved(market, follows, side * 0.003, side * 0.005), nobody
            continue
        vol, quantity = market.vol.copy(), book.quantity.copy()
        vol[option] *= 1.001
        some = rng.permutation(book.accounts)[: book.accounts // 100]
        quantity[book.start[some]] *= 1.01
        market, book = replace(market, vol=vol), replace(book, quantity=quantity)
        yield book, market, some


def _check(found: Result, full: Result) -> None:
    breach = full.excess < 0.0
    same = ((found.excess < 0.0) == breach).all()
    same &= (found.worst == full.worst)[breach].all() and found.excess.min() == full.excess.min()
    if not same:
        raise AssertionError("the screen and the full recompute differ in a breach")


if __name__ == "__main__":
    print(json.dumps(million(int(sys.argv[1]))))
