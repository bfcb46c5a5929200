"""A deployment that events are folded into, for tests of folding."""

from typing import Any

from keeper.domain.events import BlockSealed
from keeper.portfolio.instruments import Instrument
from keeper.protocols.derive.logs import events as ev
from keeper.protocols.derive.logs.fold import Fold
from keeper.protocols.derive.tables import DeriveTables
from tests.unit.protocols.derive.deployment import MANAGER, NOW, SUB_ACCOUNTS, Deployment, at


STRANGER, OTHER_MANAGER = at(990), at(991)
LATER_S = NOW + 60


class Scene:
    """A deployment and its fold, in a block a minute later."""

    def __init__(self) -> None:
        deployment = Deployment()
        self.portfolio = deployment.portfolio
        self.tables: DeriveTables = deployment.tables
        self.open = deployment.account
        self.folding = Fold(self.tables)

    def fold(self, *events: object) -> list[tuple[str, dict[str, Any]]]:
        block = BlockSealed(1, 2, "0x", "0x", LATER_S, 0, 0, True, 0, ())
        for event in events:
            self.folding.fold(event, block)
        return [(each.kind, dict(each.fields)) for each in self.folding.drain()]

    def held(self, account: int) -> list[tuple[Instrument, int]]:
        lines = self.portfolio.positions.held(self.tables.row(account))
        return [(self.portfolio.instruments[row], quantity) for row, quantity in lines]

    def balance(
        self, account: int, asset: str, after: int, sub_id: int = 0, **where: str
    ) -> ev.BalanceAdjusted:
        manager, source = where.get("manager", MANAGER), where.get("source", SUB_ACCOUNTS)
        return ev.BalanceAdjusted(source, account, manager, asset, sub_id, after)
