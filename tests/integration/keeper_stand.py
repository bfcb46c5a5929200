"""Keepers on a venue: their configuration and keys, their runs, and their state beside the chain's.

It reads the chain by the contracts' own views and events, never by the keeper's code, but where
two snapshots are compared. How the venue got there, and its market, are its users' business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eth_account import Account

from deploy.devnet.chain.node import Node, free_port
from deploy.devnet.venue.deployment import Venue, keeper_config
from keeper.app.assembly import Core, Places, assemble, load_snapshot
from keeper.app.state.snapshots import restore
from keeper.chain.link.http import RpcHttp
from keeper.chain.link.reader import NodeReader
from keeper.config import Config, load
from keeper.domain.events import Started
from keeper.machine import Machine
from keeper.protocols.derive.record import dump
from keeper.protocols.derive.snapshot import take
from keeper.protocols.derive.views.compare import comparable, differences
from keeper.runtime.clock import SystemClock
from keeper.runtime.replay import ReplayCounts, replay
from tests.integration.keeper_process import KeeperProcess, write_toml
from tests.integration.leave import give_leave


WEALTH_WEI = 10**22
DEADLINE_MS = 60_000
STRATEGIES = {"flag_only": "FlagOnly", "dutch_auction": "DutchAuction"}


class KeeperStand:
    """One venue on one node, one folder, any number of keepers one after another."""

    node: Node
    venue: Venue
    folder: Path
    keepers: list[KeeperProcess]

    # ── the chain ──

    @property
    def head(self) -> dict[str, Any]:
        """The newest block."""
        return dict(self.node.call("eth_getBlockByNumber", "latest", False))

    @property
    def number(self) -> int:
        """The newest block's number."""
        return int(self.head["number"], 16)

    def lane(self, index: int = 0) -> str:
        """Return the address of lane `index`, wealthy in gas; its key file lies in the folder."""
        key = (0xA11CE + index).to_bytes(32, "big").hex()
        path = self.folder / f"lane{index}.key"
        if not path.exists():
            path.write_text(key)
            path.chmod(0o600)
        address = str(Account.from_key(key).address)
        self.node.call("anvil_setBalance", address, hex(WEALTH_WEI))
        return address

    def happened(self, name: str, account: int | None = None) -> list[dict[str, Any]]:
        """Return the auction contract's events of a name, each with its block `number`."""
        auction = self.venue.core.auction
        query = {"address": auction.address, "fromBlock": "0x0", "toBlock": "latest"}
        query["topics"] = [auction.topics[name]]
        logs = self.node.call("eth_getLogs", query)
        found = [
            {**fields, "number": int(log["blockNumber"], 16)}
            for log, fields in zip(logs, auction.events(name, logs), strict=True)
        ]
        return [each for each in found if account in (None, each["accountId"])]

    def starts(self, account: int) -> list[dict[str, Any]]:
        """Return every start of an account's auctions, in the order of blocks."""
        kinds = ("SolventAuctionStarted", "InsolventAuctionStarted")
        found = [each for kind in kinds for each in self.happened(kind, account)]
        return sorted(found, key=lambda each: each["number"])

    def live(self, account: int) -> bool:
        """Tell whether an auction of the account is live."""
        return bool(self.venue.core.auction.call(self.node.rpc, "isAuctionLive", account))

    # ── keepers ──

    def document(
        self,
        mode: str = "live",
        strategy: str = "flag_only",
        *,
        lanes: int = 1,
        bidders: Sequence[int] = (),
        **parameters: Any,
    ) -> dict[str, Any]:
        """Return a configuration as a document; a test changes what it is about."""
        keys = [str(self.folder / f"lane{index}.key") for index in range(lanes)]
        for index in range(lanes):
            self.lane(index)
        names = [book.underlying for book in self.venue.books]
        return {
            "keeper": {
                "mode": mode,
                "data_dir": str(self.folder / "data"),
                "tick_ms": 250,
                "save_blocks": 0,  # a test that restarts warm says so
            },
            "halt": {"gap_s": 0},  # hours pass between two blocks here, and no chain stood still
            "chain": {
                "chain_id": 31_337,
                "watch_url": self.node.ws_url,
                "send_urls": [self.node.url],
                "block_time_ms": 10_000,
                "poll_interval_ms": 100,
                # What a slow machine takes its time over is not what these tests are about.
                "call_deadline_ms": DEADLINE_MS,
                "clock_skew_s_max": 0,  # the node lives in a time of its own
            },
            "preflight": {"deadline_ms_max": DEADLINE_MS},
            "reader": {"call_deadline_ms": DEADLINE_MS},
            "venues": {
                "derive": {
                    "protocol": "derive",
                    **keeper_config(self.venue),
                    "underlyings": names,
                    "required_quotes": [f"{name}.spot" for name in names],
                    "bidders": list(bidders),
                }
            },
            "strategy": {
                "name": f"strategies.{strategy}:{STRATEGIES[strategy]}",
                "parameters": parameters,
            },
            "telemetry": {"listen_port": free_port()},
            "lanes": [{"key_file": key} for key in keys],
        }

    def process(self, document: dict[str, Any]) -> KeeperProcess:
        """Return a keeper of this configuration, not started yet; it ends with the rig.

        In mode "live" it has its activation already.
        """
        config = write_toml(self.folder / f"keeper{len(self.keepers)}.toml", document)
        give_leave(config, self.node.url)
        data_dir = Path(document["keeper"]["data_dir"])
        made = KeeperProcess(config, data_dir, document["telemetry"]["listen_port"])
        self.keepers.append(made)
        return made

    def keeper(self, mode: str = "live", strategy: str = "flag_only", **more: Any) -> KeeperProcess:
        """Start a keeper and wait until it follows; `more` as in `document`."""
        return self.follow(self.process(self.document(mode, strategy, **more)))

    def follow(self, keeper: KeeperProcess) -> KeeperProcess:
        """Start a keeper and wait until it has its snapshot and may send."""
        keeper.start()
        keeper.wait("the snapshot", lambda: keeper.lines("snapshot_taken"))
        live = '"live"' in keeper.config.read_text()
        keeper.wait("the first entry", lambda: keeper.events("LaneObserved" if live else "Started"))
        return keeper

    def replayed(self, keeper: KeeperProcess) -> tuple[ReplayCounts, Core]:
        """Re-apply the newest journal of the start, and return what it came to."""
        return replay_of(load(keeper.config), keeper.journals()[-1])

    def apart(self, keeper: KeeperProcess) -> list[str]:
        """Return in what the keeper's state differs from the chain's at the newest block."""
        keeper.wait("the newest head", lambda: self._recorded(keeper, self.head["hash"]))
        config = load(keeper.config)
        _, core = replay_of(config, keeper.journals()[-1])
        venue = core.venues[0]
        assert core.portfolio.tip is not None
        fresh = asyncio.run(self._snapshot(config))
        ours = dump(venue.tables, *core.portfolio.tip, fresh["timestamp"])
        return differences(comparable(ours), comparable(fresh))

    async def _snapshot(self, config: Config) -> dict[str, Any]:
        async with RpcHttp("read", self.node.url) as rpc:
            reader = NodeReader(rpc, config.reader)
            venue = config.venues["derive"]
            return await take(reader, venue, await reader.header("latest"), SystemClock())

    @staticmethod
    def _recorded(keeper: KeeperProcess, block_hash: str) -> bool:
        sealed = keeper.events("BlockSealed", "ChainRewound")
        return bool(sealed) and sealed[-1]["hash"] == block_hash


def replay_of(config: Config, journal: Path) -> tuple[ReplayCounts, Core]:
    """Re-apply a journal; the counts, and the pure side as it stands at its end."""
    cores: list[Core] = []

    def build(started: Started) -> Machine:
        core = assemble(config)
        file = Places(Path(config.keeper.data_dir)).snapshots / started.snapshot_file
        load_snapshot(core, restore(file, started.snapshot_digest))
        cores.append(core)
        return core.machine

    return replay(journal, build), cores[-1]
