"""`make kill9 RUNS=n`: n kills with reorgs and drops, then the ablation that must be caught.

python -m tests.kill9 [--kills N] [--seed S] [--no-ablation]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.kill9.fuzz import Tally, run


KILLS_A_RUN = 20
ABLATION_RUNS = 6


def main() -> int:
    """Return 0 where no keeper did wrong and every broken one was caught often enough."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill9")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-ablation", action="store_true")
    chosen = parser.parse_args()
    began, tally, seed = time.monotonic(), Tally(), chosen.seed
    with tempfile.TemporaryDirectory(prefix="kill9-") as folder:
        while tally.kills.total() < chosen.kills and not tally.violations:
            left = chosen.kills - tally.kills.total()
            # Every third chain is crowded: its keepers displace one another besides.
            run(Path(folder), min(left, KILLS_A_RUN), seed, tally, crowded=seed % 3 == 0)
            print(f"seed {seed}: {tally.line()}, {time.monotonic() - began:.0f} s", flush=True)
            seed += 1
        for violation in tally.violations:
            print(f"  {violation}")
        if tally.violations or chosen.no_ablation:
            return 1 if tally.violations else 0
        caught = 0
        for broken in range(ABLATION_RUNS):
            leaky = Tally(patience_s=6.0)
            run(Path(folder), 4, 10_000 + broken, leaky, leaky=True)
            caught += bool(leaky.violations)
        print(f"ablation, send before commit: {caught} of {ABLATION_RUNS} runs were caught")
        return 0 if caught else 1


if __name__ == "__main__":
    sys.exit(main())
