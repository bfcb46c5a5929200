"""The small parts of the demo: configuration text, quantiles of a histogram, the shown row."""

import io
import sqlite3
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from deploy.devnet.demo.evidence import guard_refusals, histogram_quantile_ms
from deploy.devnet.demo.keeper_process import Samples
from deploy.devnet.demo.stage import toml
from deploy.devnet.demo.table import Row, Show, plain
from deploy.devnet.judge.spending import CapUse, caps_used, decided_hashes


def stage_buckets(*counts: tuple[str, float]) -> Samples:
    return {
        ("keeper_stage_seconds_bucket", (("le", bound), ("stage", "decided_to_sent"))): count
        for bound, count in counts
    }


def row(played: int, samples: Samples) -> Row:
    return Row(played, 120, 57, {"ETH": 3_000.0}, samples)


def test_tables_come_back_from_toml_as_they_were() -> None:
    tables = {
        "keeper": {"mode": "live", "data_dir": 'a "quoted" folder'},
        "venues.derive": {"managers": ["0x01", "0x02"], "start_block": 3, "bidders": []},
        "lanes": [{"key_file": "a", "in_flight_max": 16}, {"key_file": "b", "in_flight_max": 8}],
    }
    read = tomllib.loads(toml(tables))
    assert read["keeper"] == tables["keeper"]
    assert read["venues"]["derive"] == tables["venues.derive"]
    assert read["lanes"] == tables["lanes"]


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    samples = stage_buckets(("0.01", 50.0), ("0.02", 100.0), ("+Inf", 100.0))
    assert histogram_quantile_ms(samples, "decided_to_sent", 0.5) == pytest.approx(10.0)
    assert histogram_quantile_ms(samples, "decided_to_sent", 0.75) == pytest.approx(15.0)


def test_a_quantile_past_the_last_bound_is_that_bound() -> None:
    samples = stage_buckets(("0.01", 0.0), ("+Inf", 4.0))
    assert histogram_quantile_ms(samples, "decided_to_sent", 0.99) == pytest.approx(10.0)


def test_a_quantile_of_nothing_is_zero() -> None:
    assert histogram_quantile_ms({}, "decided_to_sent", 0.99) == 0.0


def test_the_decided_block_of_a_transaction_is_read_from_the_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE intent(id INTEGER PRIMARY KEY, decided_block_hash TEXT);
            CREATE TABLE slot(chain_id, address, nonce, intent_id);
            CREATE TABLE attempt(hash, chain_id, address, nonce, kind);
            INSERT INTO intent VALUES (1, '0xaa'), (2, '0xbb');
            INSERT INTO slot VALUES (31337, '0x1', 0, 1), (31337, '0x1', 1, 2);
            INSERT INTO attempt VALUES ('0xt1', 31337, '0x1', 0, 'act'),
                ('0xt2', 31337, '0x1', 1, 'cancel');
            """
        )
    connection.close()
    assert decided_hashes(path) == {"0xt1": "0xaa"}


def test_each_cap_is_told_with_what_came_nearest_to_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE spend(scope, day, reserved_wei TEXT, settled_wei TEXT);
            CREATE TABLE attempt(gas, cap_wei TEXT, value_wei TEXT);
            INSERT INTO spend VALUES ('lane:0x1', 1, '5', '1'), ('lane:0x2', 1, '0', '9'),
                ('global', 1, '5', '10'), ('intent:7', 1, '5', '0');
            INSERT INTO attempt VALUES (21000, '10', '1'), (21000, '20', '0');
            """
        )
    connection.close()
    caps = {"lane_day_wei_max": 9, "day_wei_max": 14, "transaction_wei_max": 420_000}
    used = caps_used(path, {**caps, "hour_wei_max": 3})
    assert used["lane_day_wei_max"] == CapUse(9, 0, 9)
    assert used["lane_day_wei_max"].kept
    assert used["day_wei_max"] == CapUse(14, 5, 10)
    assert not used["day_wei_max"].kept
    assert used["transaction_wei_max"] == CapUse(420_000, 420_000, 0)
    assert used["hour_wei_max"] == CapUse(3, 0, 0)


def test_what_the_guard_refused_before_the_send_is_read_from_the_metrics() -> None:
    samples: Samples = {
        ("keeper_refusals_total", (("reason", "EX_GainTooSmall"), ("stage", "preflight"))): 2.0,
        ("keeper_refusals_total", (("reason", "lane_not_ready"), ("stage", "lane"))): 3.0,
    }
    assert guard_refusals(samples) == {"EX_GainTooSmall": 2}


def test_a_keeper_that_does_not_answer_is_shown_as_unknown() -> None:
    text = plain(row(1, {}))
    assert "breaches ?" in text
    assert "head lag ?" in text


def test_a_row_shows_outcomes_and_how_far_the_keeper_is_behind() -> None:
    samples: Samples = {
        ("keeper_transactions_total", (("outcome", "included"),)): 4.0,
        ("keeper_head_number", (("chain", "31337"),)): 56.0,
    }
    text = plain(row(1, samples))
    assert "4 included" in text
    assert "head lag 1 blocks" in text


def test_without_a_terminal_every_tenth_block_is_a_line() -> None:
    text = io.StringIO()
    with Show(Console(file=text, width=400)) as show:
        for played in range(1, 31):
            show.show(row(played, {}))
    assert len(text.getvalue().splitlines()) == 3


def test_on_a_terminal_the_table_names_what_it_shows() -> None:
    text = io.StringIO()
    with Show(Console(file=text, width=120, force_terminal=True)) as show:
        show.show(row(1, {("keeper_breaches", (("venue", "derive"),)): 7.0}))
    assert "worst excess" in text.getvalue()
    assert "7" in text.getvalue()
