"""Mode "live" wants leave for exactly this configuration, chain, lanes and executor code."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keeper.app.assembly import Places
from keeper.app.leave.activating import FILE, Activation, activation_of, admit, difference, record
from keeper.config import Config
from keeper.domain.errors import ChainMismatch, ConfigError, EndpointUnreachable
from keeper.runtime.clock import SystemClock
from keeper.telemetry.logging import Lines
from tests.unit.app.chain_answers import Answers
from tests.unit.app.documents import configured


LANES = ("0x" + 40 * "2", "0x" + 40 * "1")
EXECUTOR = "0x" + 40 * "e"


class Lane:
    """All that an activation wants of a signer."""

    def __init__(self, address: str) -> None:
        self.address = address


def live(**tables: dict[str, Any]) -> Config:
    keys = [{"key_file": f"lane{index}.key"} for index in range(2)]
    config = configured(venue={"executor": EXECUTOR}, **tables)
    lanes = tuple(replace(_lane(), **each) for each in keys)
    return replace(config, keeper=replace(config.keeper, mode="live"), lanes=lanes)


def _lane() -> Any:
    from keeper.config import LaneSection  # noqa: PLC0415 - one use

    return LaneSection(key_file="some.key")


async def start(config: Config, places: Places, reader: Answers | None = None) -> str:
    """Admit a start; what was told of it."""
    told = io.StringIO()
    lines = Lines(SystemClock(), stream=told)
    signers: Any = [Lane(each) for each in LANES]
    try:
        await admit(config, reader or Answers(LANES), places, signers, lines)
    finally:
        lines.close()
    return told.getvalue()


async def given(config: Config, places: Places) -> Activation:
    wanted = await activation_of(config, Answers(LANES), LANES)
    record(places, wanted, {"blocks": 5})
    return wanted


async def test_only_mode_live_wants_leave(tmp_path: Path) -> None:
    assert await start(configured(), Places(tmp_path)) == ""


async def test_without_leave_the_start_is_refused_and_the_cure_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keeper activate") as refused:
        await start(live(), Places(tmp_path))
    assert (refused.value.key, refused.value.exit_code) == ("keeper.mode", 64)


async def test_with_leave_it_starts_and_tells_every_cap(tmp_path: Path) -> None:
    config, places = live(), Places(tmp_path)
    await given(config, places)
    line = json.loads(await start(config, places))
    assert line["event"] == "live_with_caps"
    assert line["day_wei_max"] == config.caps.day_wei_max
    assert line["total_wei_max"] == config.caps.total_wei_max
    assert (line["lanes"], line["executors"]) == (2, 1)


async def test_the_leave_keeps_what_the_trial_came_to(tmp_path: Path) -> None:
    await given(live(), Places(tmp_path))
    assert json.loads((tmp_path / FILE).read_text())["trial"] == {"blocks": 5}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"config_digest": "0"}, "config digest"),
        ({"chain_id": 1}, "chain id"),
        ({"executors": (("derive", "0x00"),)}, "executors"),
        ({"executors": ()}, "executors"),
        ({"lanes": LANES[:1]}, "lanes"),
    ],
)
async def test_leave_for_anything_else_is_none(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    places = Places(tmp_path)
    wanted = await activation_of(live(), Answers(LANES), LANES)
    record(places, replace(wanted, **changes), {})
    why = difference(places, wanted)
    assert why is not None
    assert why.endswith(f"was given for another {told}")


async def test_another_value_in_the_configuration_wants_a_new_activation(tmp_path: Path) -> None:
    places = Places(tmp_path)
    await given(live(), places)
    with pytest.raises(ConfigError, match="config digest"):
        await start(live(caps={"day_wei_max": 7}), places)


async def test_other_code_behind_the_executor_wants_a_new_activation(tmp_path: Path) -> None:
    places, reader = Places(tmp_path), Answers(LANES)
    await given(live(), places)
    reader.code_of[EXECUTOR] = "0x6002"
    with pytest.raises(ConfigError, match="executors"):
        await start(live(), places, reader)


async def test_an_executor_without_code_is_no_contract(tmp_path: Path) -> None:
    reader = Answers(LANES)
    reader.code_of[EXECUTOR] = "0x"
    with pytest.raises(ChainMismatch, match="no code"):
        await start(live(), Places(tmp_path), reader)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"lanes": 3}'])
async def test_a_record_that_is_none_is_no_leave(tmp_path: Path, text: str) -> None:
    places = Places(tmp_path)
    (tmp_path / FILE).write_text(text)
    assert difference(places, await activation_of(live(), Answers(LANES), LANES)) is not None


class Flaky(Answers):
    """A node that is away at first."""

    def __init__(self, times: int) -> None:
        super().__init__(LANES)
        self.times = times

    async def header(self, number: int | str) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise EndpointUnreachable("read", "away")
        return await super().header(number)


async def test_a_node_that_is_away_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    config, places = live(), Places(tmp_path)
    await given(config, places)
    told = await start(config, places, Flaky(1))
    assert "activation_again" in told
    assert "live_with_caps" in told
