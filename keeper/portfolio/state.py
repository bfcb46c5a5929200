"""The portfolio of one keeper: accounts, instruments, positions and the venues' tables."""

from collections.abc import Callable
from typing import Any, TypeVar

from keeper.domain.errors import InvariantViolation
from keeper.domain.units import Hash
from keeper.portfolio.columns import Column
from keeper.portfolio.instruments import Accounts, Instruments
from keeper.portfolio.positions import Positions
from keeper.portfolio.tables import Table
from keeper.portfolio.undo import UndoLog


V = TypeVar("V")


class Portfolio:
    """All chain-derived state, written only through one undo log."""

    def __init__(self, undo_depth_max: int = 256) -> None:
        self.undo = UndoLog(undo_depth_max)
        self.accounts = Accounts()
        self.instruments = Instruments()
        self.positions = Positions(self.undo, self.instruments)
        self._tables: dict[str, Table[Any, Any]] = {}
        self._columns: dict[str, Column] = {}

    def table(self, name: str, row: Callable[..., V]) -> Table[Any, V]:
        """Make a named table whose values are made by `row` (a NamedTuple class, int, str)."""
        if name in self._tables:
            raise InvariantViolation(f"table {name} is already there")
        table: Table[Any, V] = Table(self.undo, name, row)
        self._tables[name] = table
        return table

    def column(self, name: str) -> Column:
        """Make a named column: one exact number for each account row."""
        if name in self._columns:
            raise InvariantViolation(f"column {name} is already there")
        self._columns[name] = column = Column(self.undo, name)
        return column

    @property
    def tables(self) -> dict[str, Table[Any, Any]]:
        """Return the tables by name."""
        return self._tables

    @property
    def columns(self) -> dict[str, Column]:
        """Return the columns by name."""
        return self._columns

    @property
    def tip(self) -> tuple[int, Hash] | None:
        """Return (number, hash) of the block the state stands at."""
        return self.undo.tip

    def contents(self) -> dict[str, object]:
        """Return everything held, by names not rows: equal contents = equal state.

        For snapshots' comparison with a history, not for the hot path. Tables and columns whose
        name ends in "_history" depend on the path, not on the state, and are left out.
        """
        held: dict[str, object] = {}
        for row in range(len(self.accounts)):
            lines = [
                (tuple(self.instruments[instrument]), value)
                for instrument, value in self.positions.held(row)
            ]
            if lines:
                held[repr(self.accounts.key(row))] = lines
        tables = {
            name: list(table.items())
            for name, table in sorted(self._tables.items())
            if not name.endswith("_history")
        }
        columns = {
            name: {
                repr(self.accounts.key(row)): column.get(row)
                for row in range(len(self.accounts))
                if column.get(row)
            }
            for name, column in sorted(self._columns.items())
            if not name.endswith("_history")
        }
        return {"positions": dict(sorted(held.items())), "tables": tables, "columns": columns}
