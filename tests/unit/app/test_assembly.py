"""The pure side from a configuration, and what a start refuses before it looks at any node."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.app.assembly import (
    Places,
    assemble,
    contracts,
    load_snapshot,
    load_strategy,
    targets,
)
from keeper.domain.errors import ConfigError, MalformedRecord
from keeper.protocols.derive.record import dump
from tests.unit.app.documents import configured


def at(number: int) -> str:
    return f"0x{number:040x}"


def test_an_unknown_order_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"strategy\.order = 'fifo': .*excess, .*net_profit"):
        assemble(configured(strategy={"order": "fifo"}))


def test_a_strategy_is_found_by_its_dotted_name_and_given_its_parameters() -> None:
    strategy = load_strategy("strategies.flag_only:FlagOnly", {"shortfall_min_usd": 5})
    assert strategy.name == "flag_only"


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("strategies.nowhere:Some", {}, "cannot be imported"),
        ("strategies.flag_only:Nobody", {}, "no class Nobody; it has .*FlagOnly"),
        ("strategies.flag_only:gas_of", {}, "no class gas_of"),
        ("strategies.flag_only:FlagOnly", {"shortfal": 1.0}, "known are shortfall_min_usd"),
        ("strategies.flag_only:FlagOnly", {"update_min_usd": "1"}, "must be a number"),
    ],
)
def test_a_strategy_that_cannot_be_had_is_refused(
    name: str, parameters: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_strategy(name, parameters)


def test_a_lane_may_call_what_serves_and_takes_data_and_nothing_that_holds_funds() -> None:
    config = configured(venue={"auction_utils": at(5), "data_submitter": at(6)})
    assert targets(config) == {at(3), at(4), at(5), at(6)}
    assert targets(configured()) == {at(3), at(4)}


def test_every_configured_contract_is_listed_with_its_key() -> None:
    config = configured(venue={"auction_utils": at(5), "data_submitter": at(6)})
    assert list(contracts(config)) == [
        ("venues.derive.sub_accounts", at(1)),
        ("venues.derive.cash", at(2)),
        ("venues.derive.auction", at(3)),
        ("venues.derive.managers[0]", at(4)),
        ("venues.derive.auction_utils", at(5)),
        ("venues.derive.data_submitter", at(6)),
    ]
    assert len(list(contracts(configured()))) == 4


def test_everything_a_keeper_remembers_lies_under_its_folder() -> None:
    places = Places(Path("some"))
    assert {places.journal.parent, places.snapshots.parent, places.ledger.parent} == {Path("some")}


def test_a_snapshot_puts_the_state_at_its_block() -> None:
    block = "0x" + "ab" * 32
    written = assemble(configured())
    written.portfolio.undo.begin(7, block)
    venue = dump(written.venues[0].tables, 7, block, 1_800_000_000)
    core = assemble(configured())
    document = {"number": 7, "hash": block, "venues": {"derive": venue}}
    assert load_snapshot(core, document) == (7, block)
    assert core.portfolio.tip == (7, block)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"number": "seven", "hash": "0x", "venues": {}},
        {"number": 7, "hash": "0x" + "ab" * 32, "venues": {"other": {}}},
        {"number": 7, "hash": "0x" + "ab" * 32, "venues": 3},
    ],
)
def test_a_snapshot_of_something_else_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(MalformedRecord):
        load_snapshot(assemble(configured()), document)
