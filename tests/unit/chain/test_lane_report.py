"""The operator's view: it works beside a running keeper, and shows no signed bytes."""

from keeper.chain.lane_report import acknowledge_lane, lane_lines, reset_breaker
from keeper.chain.ledger import Ledger
from keeper.chain.rows import CapParameters
from tests.unit.chain.fake_node import CHAIN_ID
from tests.unit.chain.lane_bench import LANE, attempt, hash_of, intent


async def test_lanes_slots_money_and_breakers_are_shown_beside_a_running_keeper(tmp_path):
    file = tmp_path / "ledger"
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    await ledger.take_over([(LANE, 0)])
    await ledger.bind(intent(), attempt(), 1)
    await ledger.trip("reverts", "3 in 100 blocks", 5)
    shown = "\n".join(lane_lines(file, CHAIN_ID))
    assert f"lane {LANE} READY next nonce 1 epoch 1 reserved {10**14} wei" in shown
    assert f"nonce 0 LIVE act of venue account 1 attempts 1 cap {10**9} tip 1" in shown
    assert f"global reserved {10**14} wei settled 0 wei" in shown
    assert "breaker reverts OPEN: 3 in 100 blocks" in shown
    assert b"signed".hex() not in shown
    await ledger.bind(intent(2, 2), attempt(1, number=77), 1)
    assert hash_of(77) in "\n".join(lane_lines(file, CHAIN_ID)), "what is committed is shown"
    await ledger.close()


async def test_an_acknowledged_lane_is_ready_at_the_chains_nonce_and_a_breaker_closed(tmp_path):
    file = tmp_path / "ledger"
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    (row,) = await ledger.take_over([(LANE, 0)])
    await ledger.set_lane(type(row)(LANE, 1, "QUARANTINE", 0))
    await ledger.trip("loss_day", "9 wei", 5)
    await ledger.close()
    await acknowledge_lane(file, CHAIN_ID, LANE, 4)
    assert await reset_breaker(file, CHAIN_ID, "loss_day", 6)
    shown = "\n".join(lane_lines(file, CHAIN_ID))
    assert f"lane {LANE} READY next nonce 4" in shown
    assert "breaker loss_day closed" in shown
