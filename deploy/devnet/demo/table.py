"""What the demo shows while it runs: a live table on a terminal, plain lines elsewhere.

It knows the names of the keeper's metrics and nothing of how a run is judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.devnet.demo.keeper_process import Samples


PLAIN_EVERY_BLOCKS = 10
OUTCOMES = ("sent", "included", "reverted", "dropped")
STAGES = ("received_to_decided", "decided_to_sent")


@dataclass(frozen=True)
class Row:
    """One block of a run: the market's side, and the keeper's metrics right before the next."""

    played: int
    blocks: int
    head: int
    spots: Mapping[str, float]
    samples: Samples

    def gauge(self, name: str) -> float | None:
        """Return a metric summed over its labels, None where the keeper does not tell it."""
        values = [value for (each, _), value in self.samples.items() if each == f"keeper_{name}"]
        return sum(values) if values else None

    def outcome(self, word: str) -> int:
        """Return how many transactions have come to this outcome."""
        labels = (("outcome", word),)
        return int(self.samples.get(("keeper_transactions_total", labels), 0.0))

    def mean_ms(self, stage: str) -> float | None:
        """Return the mean of a stage so far, milliseconds."""
        labels = (("stage", stage),)
        count = self.samples.get(("keeper_stage_seconds_count", labels), 0.0)
        total = self.samples.get(("keeper_stage_seconds_sum", labels), 0.0)
        return 1_000.0 * total / count if count else None

    @property
    def behind(self) -> int | None:
        """Blocks that the keeper's head lies behind the chain's."""
        number = self.gauge("head_number")
        return None if number is None else self.head - int(number)


class Show:
    """A context manager: `tell` prints a line, `show` brings the table up to date."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console if console is not None else Console(highlight=False)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, text: str) -> None:
        """Print a line above the table, or at once."""
        self.console.print(text, markup=False, soft_wrap=True)

    def show(self, row: Row) -> None:
        """Show a block."""
        if not self.console.is_terminal:
            if row.played % PLAIN_EVERY_BLOCKS == 0 or row.played == row.blocks:
                self.tell(plain(row))
            return
        if self._live is None:
            self._live = Live(console=self.console, auto_refresh=False)
            self._live.start()
        self._live.update(_table(row), refresh=True)

    def close(self) -> None:
        """Leave the last table standing and go on in plain lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def plain(row: Row) -> str:
    """Return a block as one line."""
    return "  ".join(f"{name} {value}" for name, value in _pairs(row))


def _pairs(row: Row) -> list[tuple[str, str]]:
    spots = " ".join(f"{name} {spot:,.0f}" for name, spot in row.spots.items())
    sent = " ".join(f"{row.outcome(word)} {word}" for word in OUTCOMES)
    return [
        ("block", f"{row.played}/{row.blocks}"),
        ("spot", spots),
        ("accounts", _number(row.gauge("accounts"))),
        ("breaches", _number(row.gauge("breaches"))),
        ("shortfall", _usd(row.gauge("shortfall_usd"))),
        ("worst excess", _usd(row.gauge("excess_min_usd"))),
        ("auctions", _number(row.gauge("auctions"))),
        ("transactions", sent),
        ("head lag", "?" if row.behind is None else f"{row.behind} blocks"),
        *((stage.replace("_", " "), _ms(row.mean_ms(stage))) for stage in STAGES),
    ]


def _table(row: Row) -> Group:
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in _pairs(row):
        table.add_row(Text(name, style="dim"), Text(value, style="bold"))
    return Group(ProgressBar(total=row.blocks, completed=row.played, width=60), table)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def _usd(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f} USD"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
