"""A venue, a node that shows it, and a folder of state files: for tests of warm restarts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keeper.app.assembly import Core, Places, assemble, load_snapshot
from keeper.app.state.files import label_of, write_state
from keeper.config import Config
from keeper.domain.effects import Notice
from keeper.domain.errors import EndpointError, RpcError
from keeper.domain.units import Address, Hash
from keeper.portfolio.image import cut
from keeper.ports import CallFailed, Header
from keeper.telemetry.logging import Lines
from tests.unit.app.documents import configured
from tests.unit.protocols.derive.deployment import AUCTION, CASH, MANAGER, SUB_ACCOUNTS, UNDERLYING
from tests.unit.protocols.derive.fake_reader import FakeReader
from tests.unit.protocols.derive.test_snapshot import HEAD, Scene


def hash_at(number: int) -> Hash:
    return HEAD.hash if number == HEAD.number else f"0x{number:064x}"


class Heard(Lines):
    """A log that keeps notices instead of writing them."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def tell(self, notice: Notice, **_context: int) -> None:
        self.notices.append(notice)


class ChainNode(FakeReader):
    """The venue's node with a chain below its head; it can be away, or change in mid-read."""

    away = False
    gone: frozenset[int] = frozenset()  # blocks of another branch now
    changed_after: int | None = None  # asked headers, after which `change` was done
    change: Any = None
    headers = 0
    calls_left: int | None = None  # until nobody answers calls any more

    async def header(self, number: int | str) -> Header:
        self.headers += 1
        if self.headers == self.changed_after:
            self.change(self)
        if self.away:
            raise EndpointError("read", "nobody answers")
        if isinstance(number, int) and number > self.head.number:
            raise RpcError("read", -32001, f"no block {number}")
        found = await super().header(number)
        if found.number in self.gone:
            return Header(found.number, "0x" + "dd" * 32, found.parent, found.timestamp, 0, 0)
        return found

    async def call_many(
        self, calls: Sequence[tuple[Address, str]], block: Hash, gas: int | None = None
    ) -> list[str | CallFailed]:
        if self.away or self.calls_left == 0:
            raise EndpointError("read", "nobody answers")
        return await super().call_many(calls, block, gas)


class WarmWorld:
    """One configuration and its folder."""

    def __init__(self, folder: Path, **keeper: Any) -> None:
        self.scene = Scene()
        self.node = ChainNode(self.scene.deployment, HEAD)
        self.node.history = self.scene.reader.history
        self.folder = folder
        self.config = self.configured(**keeper)
        self.places = Places(folder)
        self.lines = Heard()

    def configured(self, **keeper: Any) -> Config:
        """Return the configuration of the deployment, with keys of `[keeper]` replaced."""
        venue = {
            "sub_accounts": SUB_ACCOUNTS,
            "cash": CASH,
            "auction": AUCTION,
            "managers": [MANAGER],
            "underlyings": [UNDERLYING],
            "start_block": 1,
        }
        return configured(keeper={"data_dir": str(self.folder), **keeper}, venue=venue)

    def core(self, number: int = HEAD.number) -> Core:
        """Return a pure side that holds what the node shows, as of a block."""
        core, block = assemble(self.config), hash_at(number)
        document = {**self.scene.expected(), "number": number, "hash": block}
        load_snapshot(core, {"number": number, "hash": block, "venues": {"derive": document}})
        return core

    def save(self, number: int = HEAD.number, core: Core | None = None) -> Path:
        """Write a state file of a block; its path."""
        found = cut((core or self.core(number)).portfolio)
        return write_state(self.places, found, label_of(self.config, number, hash_at(number)))[0]

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the fields of every notice of a kind so far."""
        return [dict(each.fields) for each in self.lines.notices if each.kind == event]
