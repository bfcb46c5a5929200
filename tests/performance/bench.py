"""`python -m tests.performance.bench`: measure, print the table, write build/bench.json.

One run on one machine, two threads, medians; rivals are taken in turn, so that ratios stand where
the machine is not alone. A peer that is missing leaves its row null and says why.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from deploy.devnet.chain.artifacts import ArtifactError
from deploy.devnet.chain.node import NodeError
from keeper.margin.kernel.front import THREADS
from keeper.margin.kernel.warm import warm
from tests.performance import (
    book_figures,
    chain_bench,
    chain_peer,
    decide_bench,
    exec_bench,
    head_bench,
    hostile_bench,
    state_bench,
    stress_peers,
)
from tests.performance.market_book import measured, within
from tests.performance.stopwatch import machine
from tests.performance.table import GOALS, Row, judged


REPORT = Path("build/bench.json")
ACCOUNTS = 100_000
# Each is given a folder and returns figures: (name, value, unit).
OTHERS = (
    chain_bench.rows,
    hostile_bench.rows,
    exec_bench.rows,
    head_bench.rows,
    decide_bench.rows,
    state_bench.rows,
)


def rows(found: dict[str, Any]) -> list[Row]:
    """Return the table of what was measured."""
    kernel, book, chain = found["kernel"], found["pmrm2"], found["chain"]
    notes = kernel.get("notes", {})
    typical, quiet, million = found["typical_block"], found["quiet_block"], found["million"]
    speedup, grid = None, found["grid"]
    if "ms_an_account" in chain:
        speedup = chain["ms_an_account"] / (book["ms"] / book["accounts"])
    return [
        Row(
            "margin.kernel.ratio_c",
            kernel.get("ratio_c"),
            1.2,
            "x",
            "own C loop, cc -O3, 2 threads",
            note=notes.get("c", ""),
        ),
        Row(
            "margin.kernel.speedup_scipy",
            kernel.get("speedup_scipy"),
            3,
            "x",
            "scipy CSR x dense",
            least=False,
            note=notes.get("scipy", ""),
        ),
        Row(
            "margin.kernel.speedup_numpy",
            kernel.get("speedup_numpy"),
            50,
            "x",
            "numpy gather, reduceat",
            least=False,
        ),
        Row(
            "margin.pmrm2.ms", book["ms"], 20, "ms", f"own numpy x {book['speedup_own_numpy']:.0f}"
        ),
        Row(
            "margin.pmrm2.speedup_chain",
            speedup,
            5_000,
            "x",
            "getMarginAndMtM, batched eth_call, anvil",
            least=False,
            note=chain.get("note", ""),
        ),
        Row("margin.typical_block.ms", typical["ms"], 6, "ms", f"{typical['computed']} computed"),
        Row("margin.quiet_block.ms", quiet["ms"], 3, "ms", f"{quiet['computed']} computed"),
        Row("margin.million.ms", million["ms"], 150, "ms", "-"),
        Row("margin.million.rss_mib", million["rss_mib"], 2_000, "MiB", "whole process"),
        Row(
            "margin.grid.ms",
            grid["ms"],
            500,
            "ms",
            f"861 cells in full, 10k accounts; {grid['cpu_ms_least']:.0f} ms of one core",
        ),
        Row("margin.start_ms", found["start"]["ms"], 1_500, "ms", "its own process, warm cache"),
    ]


def table(found: dict[str, Any], lines: list[Row]) -> str:
    """Return what is shown on the terminal."""
    about, book = found["machine"], found["book"]
    shape = f"{book['accounts']:,} accounts, {book['positions']:,} positions, "
    shape += f"{100 * book['within_1_percent']:.1f} % within 1 % of the line"
    head = [
        f"{about['cpu']}, {about['cores']} cores, {about['vectors']}; {about['system']}",
        f"load {about['load_before']} before, {found['load_after']} after",
        f"Python {about['python']}, numpy {about['numpy']}; {found['threads']} threads, medians",
        shape,
        "",
        f"{'key':34} {'figure':>10} {'':9}{'reach':>9}  {'':8} against",
    ]
    return "\n".join([*head, *(row.line() for row in lines)])


def measure(*, chain: bool) -> dict[str, Any]:
    """Return every figure."""
    found: dict[str, Any] = {"machine": machine(), "threads": THREADS, "kernel_absent": warm()}
    with tempfile.TemporaryDirectory() as folder:
        found["kernel"] = stress_peers.measure(Path(folder), THREADS)
    sample = measured(ACCOUNTS)
    result = book_figures.Pmrm2(sample.parameters).require(sample.book, sample.market)
    found["book"] = {
        "accounts": sample.book.accounts,
        "positions": len(sample.book.instrument),
        "short": float((sample.book.quantity < 0.0).mean()),
        "within_1_percent": within(result, sample.book, 0.01),
    }
    found["pmrm2"] = book_figures.everything(sample, THREADS)
    found["typical_block"] = book_figures.blocks(sample, THREADS, quiet=False)
    found["quiet_block"] = book_figures.blocks(sample, THREADS, quiet=True)
    found["chain"] = _chain(sample) if chain else {"note": "left out by --no-chain"}
    del sample
    found["grid"] = book_figures.grid(THREADS)
    found["start"] = book_figures.start()
    command = [sys.executable, "-m", "tests.performance.book_figures", str(THREADS)]
    found["million"] = json.loads(subprocess.check_output(command))
    found["load_after"] = machine()["load_before"]
    return found


def _chain(sample: book_figures.Measured) -> dict[str, Any]:
    """Return the chain's time, or why there is none: a node is not on every machine."""
    try:
        return chain_peer.measure(sample)
    except (NodeError, ArtifactError, FileNotFoundError) as error:
        return {"note": f"no node: {error}"}


def others() -> list[Row]:
    """Return the rows of the link, of execution and of state, each measured in its own world."""
    lines: list[Row] = []
    for rows_of in OTHERS:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                lines += judged(asyncio.run(rows_of(Path(folder))), GOALS)
            except (NodeError, ArtifactError, FileNotFoundError) as error:
                name = rows_of.__module__.rpartition(".")[2]
                lines.append(Row(name, None, None, "", "-", note=f"no node: {error}"))
    return lines


def main() -> int:
    """Measure, print, write; the exit status does not judge: figures depend on the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--no-chain", dest="chain", action="store_false", help="margin only, without a local node"
    )
    alone = parser.parse_args()
    found = measure(chain=alone.chain)
    lines = rows(found)
    if alone.chain:
        lines += others()
    found["table"] = {row.key: row.document() for row in lines}
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(found, indent=2) + "\n")
    print(table(found, lines))
    print(f"\n{REPORT} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
