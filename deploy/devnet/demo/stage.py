"""Everything a run needs besides the keeper: node, venue, market, lanes, and the keeper's config.

It knows the schema of config.toml; it must not know what the keeper does with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.devnet.chain.node import HOST, Node, NodeOptions, free_port
from deploy.devnet.demo.lanes import Lane, make_lanes, open_bidders
from deploy.devnet.venue.deployment import keeper_config
from deploy.devnet.venue.driver import Driver
from deploy.devnet.venue.parameters import wad
from deploy.devnet.venue.scene import GENESIS_S, Scene
from deploy.devnet.venue.treasury import Treasury, open_treasury


LANES = 8
IN_FLIGHT_MAX = 16
# Slices bought in a crash go on falling: they are taken over with half as much cash again as asked.
CASH_HEADROOM = 0.5
HELD_DEADLINE_MS = 60_000
# Gas is cheap on the venue's chain: a bid of a hundred dollars is worth its gas.
TIP_MAX_WEI = 100_000_000
# A few times what a run of 300 accounts takes: a keeper gone mad would be stopped within minutes.
CAPS_WEI = {
    "transaction_wei_max": wad("0.02"),
    "intent_wei_max": wad("0.02"),
    "lane_day_wei_max": wad("0.25"),
    "hour_wei_max": wad("1"),
    "day_wei_max": wad("1.5"),
    "total_wei_max": wad("2"),
}


@dataclass(frozen=True)
class Stage:
    """A market that stands, and what a keeper is started with."""

    driver: Driver
    lanes: list[Lane]
    treasury: Treasury
    bidders: list[int]
    folder: Path
    config: Path
    telemetry_port: int

    @property
    def capacity(self) -> int:
        """How many transactions of the keeper may be under way at once."""
        return len(self.lanes) * IN_FLIGHT_MAX

    @property
    def data_dir(self) -> Path:
        """Where the keeper keeps journal, ledger and snapshots."""
        return self.folder / "data"


@contextmanager
def set_stage(
    scene: Scene, folder: Path, pace_s: float, *, through_helper: bool = True, held: bool = False
) -> Iterator[Stage]:
    """Bring up node, venue, accounts and lanes, and take the node down again on leaving.

    What an earlier run left under `folder` is removed first. `held`: for a market that waits for
    the keeper, whose answers may then take the time they take.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Node(NodeOptions(mining=False, timestamp=GENESIS_S)) as node:
        driver = Driver(node, scene)
        driver.prepare()
        lanes = make_lanes(driver, folder / "keys", LANES)
        treasury = open_treasury(
            node, driver.venue, addresses(lanes), through_helper=through_helper
        )
        bidders = open_bidders(driver, treasury, through_helper=through_helper)
        driver.catch_up()
        config, port = folder / "config.toml", free_port()
        stage = Stage(driver, lanes, treasury, bidders, folder, config, port)
        tables = document(stage, pace_s, through_helper=through_helper)
        if held:
            tables["chain"]["call_deadline_ms"] = HELD_DEADLINE_MS
            tables["preflight"] = {"deadline_ms_max": HELD_DEADLINE_MS}
        config.write_text(toml(tables))
        yield stage


def document(stage: Stage, pace_s: float, *, through_helper: bool) -> dict[str, Any]:
    """Return the keeper's configuration; a lane is a table of an array of tables."""
    node, venue = stage.driver.node, stage.driver.venue
    names = [book.underlying for book in venue.books]
    return {
        "keeper": {"mode": "live", "data_dir": str(stage.data_dir.resolve())},
        "chain": {
            "chain_id": node.options.chain_id,
            "watch_url": node.ws_url,
            "read_url": node.url,
            "send_urls": [node.url],
            "block_time_ms": max(100, round(pace_s * 1_000)),
            "poll_interval_ms": 250,
            "clock_skew_s_max": 0,  # the market lives in a time of its own
        },
        "venues.derive": {
            "protocol": "derive",
            **keeper_config(venue),
            "underlyings": names,
            "required_quotes": [
                f"{name}.{quote}" for name in names for quote in ("spot", "stable")
            ],
            "bidders": stage.bidders,
            "executor": stage.treasury.address,
        },
        "strategy": {"name": "strategies.dutch_auction:DutchAuction", "order": "excess"},
        "strategy.parameters": {"through_helper": through_helper, "cash_headroom": CASH_HEADROOM},
        "lanes": [
            {"key_file": str(lane.key_file.resolve()), "in_flight_max": IN_FLIGHT_MAX}
            for lane in stage.lanes
        ],
        "caps": CAPS_WEI,
        "limits": {"tip_max_wei": TIP_MAX_WEI, "commands_per_block_max": stage.capacity},
        "telemetry": {
            "listen_host": HOST,
            "listen_port": stage.telemetry_port,
            "head_age_blocks_max": 20,
        },
    }


def toml(tables: dict[str, Any]) -> str:
    """Return tables of plain values as TOML; a list of tables becomes an array of tables."""
    lines: list[str] = []
    for name, table in tables.items():
        rows = table if isinstance(table, list) else [table]
        head = f"[[{name}]]" if isinstance(table, list) else f"[{name}]"
        for row in rows:
            # JSON's strings, numbers, switches and lists are TOML's too.
            lines += [head, *(f"{key} = {json.dumps(value)}" for key, value in row.items()), ""]
    return "\n".join(lines)


def addresses(lanes: Sequence[Lane]) -> list[str]:
    """Return the lanes' addresses."""
    return [lane.address for lane in lanes]
