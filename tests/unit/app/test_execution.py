"""What the executor is told of the configuration."""

import tomllib

from keeper.app.execution import parameters_of
from keeper.config import read
from tests.unit.app.documents import SHIPPED
from tests.unit.chain.lane_bench import signer


def test_lanes_keep_their_own_limits_and_silence_counts_in_block_times() -> None:
    document = tomllib.loads(SHIPPED.read_text())
    document["lanes"] = [
        {"key_file": "a", "in_flight_max": 3},
        {"key_file": "b", "in_flight_max": 16},
    ]
    document["chain"] |= {"block_time_ms": 700, "stall_blocks": 3, "call_deadline_ms": 900}
    document["preemption"]["per_block_max"] = 2
    document["preflight"]["mode"] = "parallel"
    signers = [signer(1), signer(2)]
    told = parameters_of(read(document, {}), signers)
    assert [told.lanes.in_flight_max_of(each.address) for each in signers] == [3, 16]
    assert told.head_age_ms_max == 2_100
    assert (told.catch_up_ms_max, told.follow.deadline_ms_max) == (900, 900)
    assert told.preemption.per_block_max == 2
    assert told.preflight.mode == "parallel"
