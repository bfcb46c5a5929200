"""Whether our clock and the chain's are close enough to start.

Nothing we decide rests on the wall clock, but what people read does (logs, alerts, certificates),
and a clock that is far off is a sign of a machine, or of a chain, that is not what it should be.
"""

from keeper.domain.errors import ChainMismatch
from keeper.domain.units import NS_PER_S
from keeper.ports import Clock, Header


def check_skew(clock: Clock, head: Header, skew_s_max: int) -> None:
    """Raise ChainMismatch where wall clock and head are further apart than `skew_s_max`; 0: never.

    A head is behind by a block time as a rule, and by more on a quiet chain: leave room for that.
    A chain that lives in a time of its own (a devnet that is warped) has 0.
    """
    if skew_s_max == 0:
        return
    now_s = clock.now_ns() // NS_PER_S
    if abs(now_s - head.timestamp) > skew_s_max:
        what = f"time of head {head.number} (within {skew_s_max} s)"
        raise ChainMismatch(what, now_s, head.timestamp, "set this machine's clock, or wait")
