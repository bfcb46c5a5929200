"""`[[oracles]]` and the venue's rules on quotes and signed data, as the file says them."""

from pathlib import Path
from typing import Any

import pytest

from keeper.app.oracles import oracle_faults, oracle_sources
from keeper.config import Config, config_digest, describe
from keeper.config.loading import read
from keeper.domain.errors import ConfigError, KeyFileError
from keeper.oracle.chainlink import ChainlinkWatch
from keeper.oracle.pyth import PythWatch, Sampled
from keeper.oracle.stream import OracleSource
from keeper.runtime.clock import SystemClock
from keeper.telemetry.metrics import Metrics
from tests.unit.app.chain_answers import Answers


FEED = "0x" + "F1" * 20
STREAM = {
    "name": "exchange",
    "kind": "stream",
    "underlying": "ETH",
    "stream_url": "wss://prices.example/${PRICES_KEY}",
    "price_path": "p",
}
PYTH = {
    "name": "pyth_eth",
    "kind": "pyth",
    "underlying": "ETH",
    "feed": FEED,
    "price_id": "0x" + "e1" * 32,
}
UPDATES = {
    "name": "hermes",
    "kind": "pyth_updates",
    "feed": FEED,
    "stream_url": "https://hermes.example/stream?key=${PRICES_KEY}",
}
CHECK = {"name": "check", "kind": "chainlink", "underlying": "sequencer", "feed": FEED}


def config(*oracles: dict[str, Any], **venue: Any) -> Config:
    address = "0x" + "01" * 20
    places = dict.fromkeys(("sub_accounts", "cash", "auction"), address)
    document = {
        "keeper": {"data_dir": "data"},
        "chain": {"chain_id": 1, "watch_url": "ws://127.0.0.1:1"},
        "strategy": {"name": "strategies.flag_only:FlagOnly"},
        "venues": {
            "derive": {
                "protocol": "derive",
                **places,
                "managers": [address],
                "start_block": 0,
                **venue,
            }
        },
        "oracles": list(oracles),
    }
    return read(document, {"PRICES_KEY": "s3cret"})


def made(found: Config) -> dict[str, Any]:
    reader: Any = None
    return dict(oracle_sources(found, reader, SystemClock(), lambda _: None, Metrics()))


def test_each_oracle_becomes_a_part_of_the_run() -> None:
    sources = made(config(STREAM, CHECK, PYTH, UPDATES))
    names = ["exchange", "check", "pyth_eth", "hermes"]
    assert list(sources) == [f"oracle_{name}" for name in names]
    assert isinstance(sources["oracle_pyth_eth"], PythWatch)
    assert isinstance(sources["oracle_hermes"], Sampled)
    assert isinstance(sources["oracle_exchange"], OracleSource)
    assert isinstance(sources["oracle_check"], ChainlinkWatch)
    assert made(config()) == {}


def test_a_token_is_read_from_a_file_that_is_ours_alone(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    token.chmod(0o644)
    asked = config({**UPDATES, "token_file": str(token)})
    with pytest.raises(KeyFileError):
        made(asked)
    token.chmod(0o600)
    assert "oracle_hermes" in made(asked)
    assert "s3cret" not in repr(asked)


async def test_a_check_reads_each_token_and_says_whose_is_amiss(tmp_path: Path) -> None:
    good, missing = tmp_path / "good", tmp_path / "missing"
    good.write_text("s3cret")
    good.chmod(0o600)
    names = {"hermes": good, "other": missing}
    asked = config(*({**UPDATES, "name": n, "token_file": str(at)} for n, at in names.items()))
    ((what, found, cure),) = [each async for each in oracle_faults(asked, Answers([]))]
    assert what == "oracles.other"
    assert str(missing) in found
    assert cure != ""


def test_which_price_is_read_is_shown_and_is_part_of_the_digest() -> None:
    """Ids are as long as keys, and are none."""
    found = [config({**PYTH, "price_id": "0x" + byte * 32}) for byte in ("e1", "e2")]
    assert any("price_id" in line and "e1e1" in line for line in describe(found[0]))
    assert config_digest(found[0]) != config_digest(found[1])


def test_a_name_stands_for_one_oracle_only() -> None:
    with pytest.raises(ConfigError, match="its own name"):
        made(config(STREAM, {**CHECK, "name": "exchange"}))


def test_the_secret_of_a_url_is_in_no_representation() -> None:
    found = config(STREAM, UPDATES)
    assert found.oracles[0].stream_url == "wss://prices.example/s3cret"
    assert found.oracles[1].stream_url == "https://hermes.example/stream?key=s3cret"
    assert "s3cret" not in repr(found) + str(describe(found))


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"price_pathh": "p"}, "price_pathh"),
        ({"stream_url": "http://x"}, "stream_url"),
        ({"time_unit": "h"}, "time_unit"),
        ({"queue_max": 0}, "queue_max"),
        ({"kind": "pull"}, "kind"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config({**STREAM, **change})
    assert key in refused.value.key


def test_the_rules_on_quotes_and_signed_data_are_the_venues_own() -> None:
    rules = {"quotes": {"sequencer": True}, "payloads": {"policy": "latest_only"}}
    found = config(**rules).venues["derive"]
    assert (found.quotes.sequencer, found.payloads.policy) == (True, "latest_only")
    with pytest.raises(ConfigError):
        config(payloads={"policy": "newest"})


def test_every_rule_of_it_is_part_of_the_digest() -> None:
    digests = {
        config_digest(each) for each in (config(), config(CHECK), config(quotes={"grace_s": 1}))
    }
    assert len(digests) == 3
