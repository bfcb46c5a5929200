"""A slice of `make kill9`: a short run of each, under the long ones' names."""

from tests.kill9.fuzz import Tally, run


def test_row_32_kill9_fuzz_no_double_action(tmp_path):
    tally = Tally()
    run(tmp_path, 12, 7, tally)
    assert tally.violations == []
    assert tally.kills.total() >= 8, f"the knife hardly fell: {tally.line()}"


def test_kill9_fuzz_of_keepers_that_displace_acts_once_too(tmp_path):
    """Two places, better accounts coming all the time: killed between sign, commit and send."""
    tally = Tally()
    run(tmp_path, 10, 11, tally, crowded=True)
    assert tally.violations == []
    assert tally.kills.total() >= 6, f"the knife hardly fell: {tally.line()}"
    assert tally.displaced >= 5, f"hardly anybody was displaced: {tally.line()}"


def test_row_32_kill9_fuzz_ablation_must_fail(tmp_path):
    """Send before commit, and the judge must see it: else the test above proves nothing."""
    for seed in range(5):
        tally = Tally(patience_s=5.0)
        run(tmp_path, 4, 20_000 + seed, tally, leaky=True)
        if tally.violations:
            return
    raise AssertionError("five keepers that send before they commit were not caught")
