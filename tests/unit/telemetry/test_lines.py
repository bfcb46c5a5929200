"""Log lines: one a block, one a notice, and nothing a stranger writes can forge or repaint one."""

import errno
import io
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.effects import NOTHING, Effects, Notice
from keeper.domain.events import CommandRefused
from keeper.telemetry.logging import Lines, LineWriter
from keeper.telemetry.text import TEXT_BYTES_MAX, clean, mask_url
from tests.unit.chain.scripted_node import PATIENCE_S
from tests.unit.telemetry.entries import (
    HandClock,
    assessment,
    command,
    effects,
    entry,
    head,
    timing,
)


HOSTILE = [
    'x"}\n{"event":"run_ended","level":"info"}',
    "\x1b[2J\x1b[31mFAILED",
    "\u202egnp.exe",
    "line\u2028break\u2029s",
    "bell\x07 del\x7f c1\x9b31m",
    "zero\u200bwidth\ufeff",
    "\ud800 lone",
    "A" * 10**6,
    "\u20ac" * 10_000,
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(*notices: Notice, level: str = "info", stream: io.StringIO | None = None) -> str:
    stream = io.StringIO() if stream is None else stream
    lines = Lines(HandClock(), level, stream)
    for notice in notices:
        lines.tell(notice)
    lines.close()
    return stream.getvalue()


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_block_is_one_line_with_its_figures_and_times() -> None:
    stream = io.StringIO()
    lines = Lines(HandClock(), stream=stream)
    lines.observe(entry(head(), seq=41), effects(commands=(command(),)), timing(10**9))
    lines.close()

    decided, line = parsed(stream.getvalue())
    assert line["event"] == "block"
    assert (line["venue"], line["number"], line["seq"]) == ("derive", 7, 41)
    assert (line["breaches"], line["shortfall_usd"], line["commands"]) == (3, 12.5, 1)
    assert (line["fold_ms"], line["decide_ms"], line["head_lag_ms"]) == (1.0, 10.0, 2000)
    assert line["quotes_not_ok"] == []
    assert (decided["event"], decided["command_id"]) == ("command_decided", 1)


def test_a_blocks_own_line_comes_after_all_that_is_said_of_the_block() -> None:
    stream = io.StringIO()
    lines = Lines(HandClock(), stream=stream)
    notices = (Notice("payloads_bundled", "info"),)
    said = Effects(commands=(command(),), assessments=(assessment(),), notices=notices)
    lines.observe(entry(head()), said, timing(0))
    lines.close()

    words = [line["event"] for line in parsed(stream.getvalue())]
    assert words == ["command_decided", "payloads_bundled", "block"]


def test_what_became_of_a_command_is_told_with_its_account_and_the_time_it_took() -> None:
    stream = io.StringIO()
    lines = Lines(HandClock(), stream=stream)
    lines.observe(entry(head()), effects(commands=(command(5, account=17),)), timing(10**9))
    refused = CommandRefused(5, "preflight", "healed", "")
    lines.observe(entry(refused, seq=2), Effects(), timing(2 * 10**9))
    unknown = CommandRefused(6, "lane", "no_free_slot", "")
    lines.observe(entry(unknown, seq=3), Effects(), timing(3 * 10**9))
    lines.close()

    _, _, told, stranger = parsed(stream.getvalue())
    assert (told["event"], told["account"], told["reason"]) == ("command_refused", 17, "healed")
    assert told["since_decided_ms"] > 0
    assert stranger["command_id"] == 6
    assert "account" not in stranger


def test_a_quote_that_is_not_ok_is_in_the_line() -> None:
    stream = io.StringIO()
    lines = Lines(HandClock(), stream=stream)
    stale = assessment(quotes=(("ETH.spot", "STALE"), ("ETH.vol", "OK")))
    lines.observe(entry(head()), Effects(assessments=(stale,)), timing(0))
    lines.close()

    assert parsed(stream.getvalue())[0]["quotes_not_ok"] == ["ETH.spot=STALE"]


def test_money_that_is_not_a_number_leaves_the_line_readable_for_strict_readers() -> None:
    output = written(Notice("x", "info", (("usd", float("nan")), ("most", float("inf")))))

    assert json.loads(output, parse_constant=pytest.fail)["usd"] == "nan"


def test_lines_are_stamped_by_the_clock_of_the_house() -> None:
    assert parsed(written(Notice("x", "info")))[0]["timestamp"] == "2026-01-01T00:00:00+00:00"


def test_an_entry_without_effects_writes_nothing() -> None:
    stream = io.StringIO()
    lines = Lines(HandClock(), stream=stream)
    lines.observe(entry(), NOTHING, timing(0))
    lines.close()

    assert stream.getvalue() == ""


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_one_json_line_of_plain_ascii(text: str) -> None:
    output = written(Notice("reverted", "warning", (("reason", text), (text, 1))))

    assert output.count("\n") == 1
    assert output.isascii()
    assert output.rstrip("\n").isprintable()
    (line,) = parsed(output)
    assert line["event"] == "reverted"
    assert len(line["reason"].encode()) <= TEXT_BYTES_MAX


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_cannot_repaint_a_terminal(text: str) -> None:
    output = written(Notice("reverted", "info", (("reason", text),)), stream=Terminal())
    plain = written(Notice("reverted", "info", (("reason", "harmless"),)), stream=Terminal())

    assert output.count("\n") == plain.count("\n") == 1
    assert output.count("\x1b") == plain.count("\x1b")
    assert "\u202e" not in output


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_cleaned_text_is_short_and_draws_or_is_gone(text: str) -> None:
    cleaned = clean(text)

    assert len(cleaned.encode()) <= TEXT_BYTES_MAX
    assert "\n" not in cleaned
    assert "\x1b" not in cleaned


def test_ordinary_text_is_left_as_it_is() -> None:
    assert (
        clean("DutchAuction: ratio 0.5 < 1 (été, 市場)")
        == "DutchAuction: ratio 0.5 < 1 (été, 市場)"
    )


def test_a_field_cannot_take_the_place_of_level_or_event() -> None:
    fields = (("event", "all_is_well"), ("level", "debug"), ("timestamp", "never"))
    (line,) = parsed(written(Notice("lane_quarantined", "error", fields)))

    assert (line["event"], line["level"]) == ("lane_quarantined", "error")
    assert line["event_"] == "all_is_well"
    assert line["timestamp"] != "never"


def test_secrets_are_masked_by_name_and_in_urls() -> None:
    url = "wss://user:pass@node.example:8546/v2/key?apikey=key2#f"
    output = written(
        Notice("x", "info", (("password", "hunter2"), ("problem", f"cannot reach {url} now")))
    )

    assert "hunter2" not in output
    assert "pass@" not in output
    assert "key2" not in output
    assert "wss://***@node.example:8546/***" in output


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://127.0.0.1:8545", "ws://127.0.0.1:8545"),
        ("https://node.example/", "https://node.example"),
        ("https://node.example/k", "https://node.example/***"),
        ("https://node.example?k=1", "https://node.example/***"),
        ("https://k@node.example", "https://***@node.example"),
        ("http://[::1]:80/k", "http://[::1]:80/***"),
        ("http://[broken", "***"),
        ("http://node:port/k", "***"),
    ],
)
def test_a_url_keeps_host_and_port_only(url: str, shown: str) -> None:
    assert mask_url(url) == shown


def test_lines_below_the_level_are_left_out_and_an_unknown_severity_is_not() -> None:
    output = written(
        Notice("a", "info"), Notice("b", "warning"), Notice("c", "apocalyptic"), level="warning"
    )

    assert [line["event"] for line in parsed(output)] == ["b", "c"]


def test_a_stream_nobody_reads_never_blocks_and_what_was_left_out_is_counted() -> None:
    class Clogged(io.StringIO):
        def write(self, text: str) -> int:
            opened.wait(PATIENCE_S)
            return super().write(text)

    opened = threading.Event()
    stream = Clogged()
    writer = LineWriter(stream, waiting_max=4)
    for number in range(100):
        writer.msg(json.dumps({"event": "line", "number": number}))
    opened.set()
    writer.close()

    lines = parsed(stream.getvalue())
    (told,) = [line for line in lines if line["event"] == "log_lines_left_out"]
    assert told["count"] == 100 - (len(lines) - 1)
    assert told["count"] >= 95


def test_a_closed_stream_does_not_stop_the_keeper() -> None:
    stream = io.StringIO()
    writer = LineWriter(stream)
    stream.close()

    writer.msg("x")
    writer.close()

    assert not writer._thread.is_alive()


class FullDisk(io.StringIO):
    """A stream whose disk has no room for the first two writes."""

    refusals = 2

    def write(self, text: str) -> int:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


def test_lines_come_again_when_the_disk_has_room_and_tell_how_many_were_lost() -> None:
    stream = FullDisk()
    writer = LineWriter(stream)
    for number in range(3):
        writer.msg(json.dumps({"event": "line", "number": number}))
    writer.close()

    kept, told = parsed(stream.getvalue())
    assert kept["number"] == 2
    assert (told["event"], told["count"]) == ("log_lines_left_out", 2)
