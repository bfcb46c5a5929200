"""Rows of the benchmark's table, and what each figure should reach."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple


class Figure(NamedTuple):
    """One figure as it was measured: a dotted name, a number and its unit."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; figure None where it could not be taken, `least`: less is better.

    `reach` is None for what is only told, beside another row that is judged.
    """

    key: str
    figure: float | None
    reach: float | None
    unit: str
    peer: str
    least: bool = True
    note: str = ""

    @property
    def verdict(self) -> str:
        """Return whether the figure reaches its target."""
        if self.figure is None:
            return "null"
        if self.reach is None:
            return "told"
        met = self.figure <= self.reach if self.least else self.figure >= self.reach
        return "met" if met else "NOT met"

    def line(self) -> str:
        """Return the row as it is shown."""
        figure = "null" if self.figure is None else f"{self.figure:,.2f}"
        goal = "" if self.reach is None else f"{'<=' if self.least else '>='} {self.reach:>6,.4g}"
        note = "; " + self.note if self.note else ""
        return (
            f"{self.key:34} {figure:>10} {self.unit:9}{goal:>9}  {self.verdict:8} {self.peer}{note}"
        )

    def document(self) -> dict[str, Any]:
        """Return the row as build/bench.json holds it."""
        return {
            "figure": self.figure,
            "reach": self.reach,
            "unit": self.unit,
            "verdict": self.verdict,
        }


class Goal(NamedTuple):
    """What a figure should reach, and what it is held against."""

    reach: float
    least: bool = True
    peer: str = "-"


GOALS: Final[dict[str, Goal]] = {
    "chain.logs.ms": Goal(40, peer="10k logs, JSON bytes to folded columns"),
    "chain.logs.speedup_web3": Goal(50, least=False, peer="web3 process_log, same logs"),
    "chain.half_open.blocks": Goal(3, peer="block times until a frozen socket is given up"),
    "chain.hostile.slowest.ms": Goal(250, peer="one block of the quickest chain known"),
    "state.warm_load_s": Goal(2, peer="1M positions of 100k accounts, to the first book"),
    "state.warm_restart_s": Goal(2, peer="and 32 blocks of 1,000 logs folded on it"),
    "state.reorg_ms": Goal(100, peer="8 blocks of 1,000 logs rewound, 8 others folded"),
    "state.cold_accounts_s": Goal(3_000, least=False, peer="a local node, read and decoded"),
    "exec.sign.p50": Goal(100, peer="one EIP-1559 transaction"),
    "exec.head_to_sent.p50": Goal(8, peer="10k accounts, best breach, preflight apart"),
    "exec.head_to_sent.p99": Goal(20, peer="10k accounts, best breach, preflight apart"),
    "exec.landed.50_on_4.landed": Goal(50, least=False, peer="in the block 1 s later"),
    "exec.landed.16_on_1.landed": Goal(16, least=False, peer="in the block 1 s later"),
}


def judged(figures: list[Any], goals: dict[str, Goal]) -> list[Row]:
    """Return figures (name, value, unit) as rows; one without a goal is only told."""
    rows = []
    for name, value, unit in figures:
        goal = goals.get(name)
        if goal is None:
            rows.append(Row(name, value, None, unit, "-"))
        else:
            rows.append(Row(name, value, goal.reach, unit, goal.peer, goal.least))
    return rows
