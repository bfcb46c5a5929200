"""The configuration: every mistake is refused with its key, its value and its cure."""

import json
import re
import tomllib
from copy import deepcopy
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from keeper.config import Config, LaneSection, config_digest, describe, load, masked, read
from keeper.config.endpoints import endpoint_configs, pool_config, read_endpoint
from keeper.domain.errors import ConfigError


SHIPPED = Path(__file__).resolve().parents[2] / "config.toml"
SECRET = "s3cr3t-provider-key"


def document(**changes: Any) -> dict[str, Any]:
    """Return the shipped configuration with values at dotted paths replaced."""
    result = tomllib.loads(SHIPPED.read_text())
    for path, value in changes.items():
        *tables, key = path.split("__")
        table = result
        for name in tables:
            table = table[name]
        if value is Ellipsis:
            del table[key]
        else:
            table[key] = deepcopy(value)
    return result


def refused(environment: dict[str, str] | None = None, **changes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(document(**changes), environment or {})
    return caught.value


def test_the_shipped_configuration_is_valid_and_harmless() -> None:
    config = load(SHIPPED, {})

    assert config.keeper.mode == "observe"
    assert config.telemetry.listen_host == "127.0.0.1"
    assert config.lanes == ()
    assert list(config.venues) == ["derive"]
    assert config.venues["derive"].name == "derive"


LANE_KEYS = {each.name for each in fields(LaneSection)}


def test_the_shipped_configuration_names_and_explains_every_key() -> None:
    text = SHIPPED.read_text()

    def names(value: Any) -> set[str]:
        found: set[str] = set()
        for each in fields(value):
            inner = getattr(value, each.name)
            found |= {each.name} | (names(inner) if is_dataclass(inner) else set())
        return found

    config = load(SHIPPED, {})
    expected = names(config) | names(config.venues["derive"]) | LANE_KEYS
    missing = {name for name in expected if not re.search(rf"\b{name}\b", text)} - {"name"}
    assert not missing


@pytest.mark.parametrize(
    ("changes", "key", "value", "cure"),
    [
        ({"keeper__mod": "live"}, "keeper.mod", "live", "did you mean 'mode'"),
        ({"chain__watch_uri": "x"}, "chain.watch_uri", "x", "did you mean 'watch_url'"),
        ({"kepeer": {}}, "kepeer", {}, "did you mean 'keeper'"),
        ({"venues__derive__manager": ["0x"]}, "venues.derive.manager", ["0x"], "'managers'"),
        ({"venues__derive__protocoll": "x"}, "venues.derive.protocoll", "x", "'protocol'"),
        ({"journal__zzz": 1}, "journal.zzz", 1, "known here: file_bytes_max, sync_ms"),
        ({"lanes": [{"key_file": "k", "in_flihgt": 2}]}, "lanes[0].in_flihgt", 2, "in_flight_max"),
    ],
)
def test_row_38_unknown_config_key_refused_with_the_nearest_known_one(
    changes: dict[str, Any], key: str, value: object, cure: str
) -> None:
    error = refused(**changes)

    assert (error.key, error.value) == (key, value)
    assert "unknown key" in error.cure
    assert cure in error.cure
    assert error.exit_code == 64


@pytest.mark.parametrize(
    ("changes", "key", "value", "cure"),
    [
        ({"keeper__mode": "lvie"}, "keeper.mode", "lvie", "'observe', 'simulate' or 'live'"),
        ({"chain__chain_id": "31337"}, "chain.chain_id", "31337", "valid integer"),
        ({"chain__chain_id": True}, "chain.chain_id", True, "valid integer"),
        ({"chain__chain_id": 1.0}, "chain.chain_id", 1.0, "valid integer"),
        ({"chain__chain_id": 0}, "chain.chain_id", 0, "greater than or equal to 1"),
        ({"chain__chain_id": ...}, "chain.chain_id", None, "add it"),
        ({"chain": ...}, "chain", None, "add it"),
        ({"caps__day_wei_max": -1}, "caps.day_wei_max", -1, "zero or more"),
        ({"limits__gas_token_usd": float("nan")}, "limits.gas_token_usd", None, ""),
        ({"telemetry__listen_port": 70_000}, "telemetry.listen_port", 70_000, "65535"),
        ({"strategy__name": "os.system"}, "strategy.name", "os.system", "pattern"),
        ({"venues__derive__protocol": "aave"}, "venues.derive.protocol", "aave", "derive"),
        ({"venues__derive__protocol": ...}, "venues.derive.protocol", None, "derive"),
        ({"venues__derive__name": "x"}, "venues.derive.name", "x", "leave it out"),
        ({"venues__derive__cash": "0x12"}, "venues.derive.cash", "0x12", "40 hex digits"),
        ({"venues__derive__managers": ["0x12"]}, "venues.derive.managers", "0x12", "40 hex"),
        ({"venues": {}}, "venues", {}, r"[venues.<name>]"),
        ({"reader__batch_calls_max": 0}, "reader.batch_calls_max", 0, "positive"),
        ({"journal__file_bytes_max": 2**40}, "journal.file_bytes_max", 2**40, "total_bytes_max"),
        ({"fees__tip_wei_min": 10**12}, "fees.tip_wei_min", 10**12, "tip_wei_max"),
        ({"keeper__mode": "live"}, "lanes", [], "key_file"),
        ({"keeper__mode": "live", "lanes": [{"key_file": "k"}], "chain__send_urls": []},
         "chain.send_urls", [], "at least one endpoint"),
        ({"lanes": [{"key_file": "k"}, {"key_file": "k"}]}, "lanes[1].key_file", "k", "own key"),
        ({"lanes": [{"key_file": "k", "in_flight_max": 17}]}, "lanes[0].in_flight_max", 17, "16"),
    ],
)  # fmt: skip
def test_row_38_a_wrong_value_is_refused_with_its_key_and_cure(
    changes: dict[str, Any], key: str, value: object, cure: str
) -> None:
    error = refused(**changes)

    assert error.key == key
    assert cure in error.cure
    if value is not None:
        assert error.value == value


def test_an_unknown_key_is_told_before_the_missing_one_it_explains() -> None:
    error = refused(chain__chain_id=..., chain__chainid=1)

    assert error.key == "chain.chainid"
    assert "did you mean 'chain_id'? (and 1 more)" in error.cure


def test_a_variable_in_a_url_is_read_from_the_environment() -> None:
    changed = document(chain__watch_url="wss://node.example/${NODE_KEY}")

    config = read(changed, {"NODE_KEY": SECRET})

    assert config.chain.watch_url == f"wss://node.example/{SECRET}"


@pytest.mark.parametrize("environment", [{}, {"NODE_KEY": ""}])
def test_a_missing_variable_is_named(environment: dict[str, str]) -> None:
    error = refused(environment, chain__send_urls=["https://node.example/${NODE_KEY}"])

    assert error.key == "chain.send_urls"
    assert error.cure == "set the environment variable NODE_KEY"


def test_only_urls_are_substituted() -> None:
    config = read(document(keeper__data_dir="${HOME}/data"), {"HOME": "x"})

    assert config.keeper.data_dir == "${HOME}/data"


def test_no_secret_is_shown_by_description_digest_or_repr() -> None:
    url = f"wss://user:{SECRET}@node.example:8546/v2/{SECRET}?key={SECRET}"
    config = read(document(chain__watch_url=url, chain__send_urls=[url]), {})

    shown = "\n".join(describe(config)) + repr(config) + json.dumps(masked(config))

    assert SECRET not in shown
    assert "wss://***@node.example:8546/***" in shown


@pytest.mark.parametrize(
    "changes",
    [
        {"chain__watch_url": f"wx://node/{SECRET}"},
        {"chain__watch_url": f"http://u:{SECRET}@node/{SECRET}"},
        {"chain__watch_ur": f"ws://node/{SECRET}"},
        {"lanes": [{"private_key": SECRET}]},
        {"lanes": [{"key": "0x" + "ab" * 32}]},
        {"lanes": [{"key_file": {"secret": SECRET}}]},
        {"keeper__api_key": SECRET},
    ],
)
def test_no_secret_is_shown_by_an_error(changes: dict[str, Any]) -> None:
    text = str(refused(**changes))

    assert SECRET not in text
    assert "ab" * 32 not in text


def test_the_digest_changes_with_a_parameter_and_not_with_a_providers_key() -> None:
    one = read(document(chain__watch_url="wss://node.example/one"), {})
    two = read(document(chain__watch_url="wss://node.example/two"), {})
    other = read(document(limits__deadline_blocks=11), {})

    assert config_digest(one) == config_digest(two)
    assert config_digest(one) != config_digest(other)


def test_addresses_are_kept_lower_case_as_logs_carry_them() -> None:
    config = read(document(venues__derive__cash="0x" + "AB" * 20), {})

    assert config.venues["derive"].cash == "0x" + "ab" * 20


def test_the_right_one_of_two_venues_is_named() -> None:
    second = {**document()["venues"]["derive"], "cash": "0x1"}
    changed = document()
    changed["venues"]["other"] = second

    with pytest.raises(ConfigError) as caught:
        read(changed, {})

    assert caught.value.key == "venues.other.cash"


def test_a_strategys_parameters_are_its_own() -> None:
    config = read(document(strategy__parameters={"anything": [1, "x", -2.5]}), {})

    assert config.strategy.parameters == {"anything": [1, "x", -2.5]}


def test_sections_cannot_be_changed_after_loading() -> None:
    config = load(SHIPPED, {})

    with pytest.raises(FrozenInstanceError):
        config.keeper.mode = "live"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("[keeper", "mend the TOML"),
        ("[keeper]\nmode = 2026-01-01\n", "dates and times are not used"),
        ("mode = \x00", "mend the TOML"),
    ],
)
def test_a_file_that_is_not_toml_of_ours_is_refused(tmp_path: Path, text: str, cure: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=cure):
        load(path, {})


def test_a_missing_file_is_refused_with_a_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name a config\.toml with -c"):
        load(tmp_path / "none.toml", {})


def test_the_description_lists_values_in_effect_defaults_included() -> None:
    lines = describe(read(document(cooldown=...), {}))

    assert "cooldown.first_blocks = 1" in lines
    assert 'chain.watch_url = "ws://127.0.0.1:8545"' in lines
    assert isinstance(load(SHIPPED, {}), Config)


ENDPOINT = {"name": "second", "node_url": f"wss://node.example/{SECRET}"}


def test_every_endpoint_becomes_one_of_the_chain_room_s_own_with_its_roles() -> None:
    more = ENDPOINT | {"roles": ["read", "send"], "sends_per_s": 5}
    more |= {"polling_url": "https://node.example/${KEY}"}
    given = read(document(chain__endpoints=[more]), {"KEY": "k"}).chain
    configs = endpoint_configs(given)
    assert [(each.name, [role.value for role in each.roles]) for each in configs] == [
        ("watch", ["watch", "read"]),
        ("send0", ["send"]),
        ("second", ["read", "send"]),
    ]
    assert (configs[2].budget.sends_per_s, configs[2].polling_url) == (5, "https://node.example/k")
    assert pool_config(given).block_time_ms == given.block_time_ms
    apart = read(document(chain__read_url="http://127.0.0.1:1"), {}).chain
    assert [each.name for each in endpoint_configs(apart)] == ["watch", "read", "send0"]
    assert [read_endpoint(each).name for each in (given, apart)] == ["watch", "read"]


def test_the_urls_of_further_endpoints_are_never_shown() -> None:
    config = read(document(chain__endpoints=[ENDPOINT]), {})
    assert SECRET not in "\n".join(describe(config)) + repr(config) + json.dumps(masked(config))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"roles": ["watch", "listen"]}, "chain.endpoints[0].roles"),
        ({"node_url": "ftp://x"}, "chain.endpoints[0].node_url"),
        ({"name": "Se cond"}, "chain.endpoints[0].name"),
        ({"sends_per_s": -1}, "chain.endpoints[0].sends_per_s"),
        ({"url": "ws://x"}, "chain.endpoints[0].url"),
    ],
)
def test_a_further_endpoint_is_checked_like_any_section(changes: dict[str, Any], key: str) -> None:
    error = refused(chain__endpoints=[ENDPOINT | changes])
    assert error.key.startswith(key)
    assert SECRET not in str(error)


def test_an_endpoint_to_send_to_is_enough_for_mode_live() -> None:
    lanes = [{"key_file": "k"}]
    sends = [ENDPOINT | {"roles": ["send"]}]
    changes = {"keeper__mode": "live", "lanes": lanes, "chain__send_urls": []}
    assert read(document(**changes, chain__endpoints=sends), {}).chain.endpoints
    assert refused(**changes, chain__endpoints=[ENDPOINT]).key == "chain.send_urls"
