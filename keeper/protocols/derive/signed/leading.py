"""What is decided on signed data that no feed holds yet, at one timestamp, and what it must bring.

Joins the data held, the model and the judgement of quotes. An account leads where the chain's own
quotes show no breach, or cannot be read, and the data do. Must not know calldata.
"""

from collections.abc import Sequence

import numpy as np

from keeper.domain.effects import Notice
from keeper.domain.units import AccountId
from keeper.liquidation.strategy import Opportunity, Proposal, Service
from keeper.market.opinions import Opinions
from keeper.protocols.derive.margins.accrual import Accrual
from keeper.protocols.derive.margins.doubts import Judge
from keeper.protocols.derive.margins.model import Model, Newer, Scene
from keeper.protocols.derive.signed.ahead import Ahead, Bundle
from keeper.protocols.derive.signed.bundling import feeds_behind, wanted
from keeper.protocols.derive.tables import DeriveTables
from keeper.venue import Margined


# A call that needs no margin, so that old quotes do not stand in its way.
NEEDS_NO_QUOTES = (Service.SETTLE_OPTIONS,)


class Leading:
    """One timestamp's quotes ahead, the managers they touch, and who was decided on them."""

    def __init__(self, tables: DeriveTables, ahead: Ahead, newer: Newer, judge: Judge) -> None:
        self.newer = newer
        self.judge = judge
        self._tables = tables
        self._ahead = ahead
        self._accounts: dict[AccountId, Bundle] = {}
        self._notices: list[Notice] = []

    def scene(self, scene: Scene) -> Scene | None:
        """Return a manager's scene ahead, None where no data of ours touch it."""
        return self.newer.scenes.get(scene.address)

    def take(self, margined: Margined, found: Sequence[Opportunity]) -> None:
        """Note what each account that leads must bring."""
        if margined.leads is None:
            return
        for opportunity in found:
            row = int(np.searchsorted(margined.book.accounts, opportunity.account))
            if margined.leads[row]:
                bundle = self._ahead.bundle(wanted(self._tables, opportunity.account))
                self._accounts[opportunity.account] = bundle

    def bundle(self, opportunity: Opportunity, proposal: Proposal) -> Bundle | None:
        """Return what an action must bring, None where it stands on the chain's own quotes."""
        found = self._accounts.get(opportunity.account)
        if found is None or not found.items or proposal.service in NEEDS_NO_QUOTES:
            return None
        config = self._tables.config
        fields = (
            ("venue", config.name),
            ("account", opportunity.account),
            ("service", str(proposal.service)),
            ("policy", config.payloads.policy),
            ("payloads", len(found.items)),
            ("oldest_s", found.oldest_s),
        )
        self._notices.append(Notice("payloads_bundled", "info", fields))
        return found

    def brought(self) -> tuple[bytes, ...]:
        """Return all data that actions decided at this timestamp bring, each once."""
        return tuple(
            dict.fromkeys(data for each in self._accounts.values() for _, data in each.items)
        )

    def drain(self) -> list[Notice]:
        """Return and forget what is to be told."""
        told, self._notices = self._notices, []
        return told


def lead(
    tables: DeriveTables,
    model: Model,
    scenes: Sequence[Scene],
    ahead: Ahead,
    opinions: Opinions,
    now: int,
) -> Leading | None:
    """Return what data come to at block time `now`; None where they touch no manager of ours."""
    if not ahead.rows:
        return None
    accrual = Accrual(tables, now, ahead.rows)
    touched = {
        scene.address: model.scene(accrual, scene.address, scene.manager)
        for scene in scenes
        if ahead.touches(feeds_behind(tables, scene.address, scene.manager))
    }
    if not touched:
        return None
    judge = Judge(tables, accrual, opinions, tables.config.quotes)
    return Leading(tables, ahead, Newer(accrual, touched), judge)
