"""`make soak SECONDS=n`: a keeper at a thousand logs a block, whose memory must not grow.

python -m tests.soak [--seconds S] [--logs N] [--pace S] [--limit MIB_AN_HOUR]
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.soak.watching import MIB, Soak, soak


def main() -> int:
    """Return 0 where the slope is within the limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--seconds", type=float, default=1_800.0)
    parser.add_argument("--logs", type=int, default=1_000)
    parser.add_argument("--pace", type=float, default=0.25, help="seconds a block at least")
    parser.add_argument("--limit", type=float, default=16.0, help="MiB an hour")
    chosen = parser.parse_args()
    wanted = Soak(logs=chosen.logs, blocks=sys.maxsize, seconds=chosen.seconds, pace_s=chosen.pace)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        weighed = asyncio.run(soak(wanted, Path(folder), lambda line: print(line, flush=True)))
    if len(weighed.bytes) < 4:
        print(f"too short: the first {wanted.warming} blocks fill the undo window")
        return 2
    print(weighed.line())
    if weighed.an_hour > chosen.limit * MIB:
        print(f"memory grows by {weighed.an_hour / MIB:.1f} MiB an hour, more than {chosen.limit}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
