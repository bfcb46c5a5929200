"""A slice of `make soak`: memory is flat over blocks of a thousand logs, and a leak is seen."""

from pathlib import Path

import pytest

from tests.soak.watching import MIB, Soak, Weighed, slope, soak


# A block's logs are some 700 KiB as objects; one log in thirty kept for ever is over this.
SLOPE_BYTES_MAX = 24 * 1024


@pytest.mark.parametrize("leak", [False, True], ids=["as it is", "every log kept"])
async def test_soak_rss_slope(tmp_path: Path, leak: bool) -> None:
    weighed = await soak(Soak(undo=8, blocks=24 if leak else 150, leak=leak), tmp_path)
    assert (weighed.slope > 10 * SLOPE_BYTES_MAX) is leak, weighed.line()
    assert (weighed.slope > SLOPE_BYTES_MAX) is leak, weighed.line()


def test_the_slope_is_that_of_a_line_and_minds_no_steps() -> None:
    line = [1_000 + 7 * block for block in range(100)]
    assert slope(line) == 7
    steps = [5_000 + (1_000 if 40 < block < 50 else 0) for block in range(100)]
    assert slope(steps) == 0


def test_pages_taken_by_the_system_hide_no_leak() -> None:
    flat, leak = [90 * MIB] * 60, [30 * MIB + 9 * block for block in range(40)]
    taken = Weighed(seconds=1.0, bytes=flat + leak, held=[200 * MIB] * 100)
    assert taken.slope == 9
    assert "took pages at block 60" in taken.line()
    only_held = Weighed(seconds=1.0, bytes=[90 * MIB] * 100, held=[5 * at for at in range(100)])
    assert only_held.slope == 5
