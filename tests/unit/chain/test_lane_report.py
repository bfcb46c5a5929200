"""The operator's view: it works beside a running keeper, and shows no signed bytes."""

from keeper.chain.ledger.rows import Binding, CapParameters, Receipt
from keeper.chain.ledger.store import Ledger
from keeper.chain.sending.lane_report import acknowledge_lane, lane_lines, reset_breaker
from tests.unit.chain.fake_node import CHAIN_ID
from tests.unit.chain.lane_bench import LANE, attempt, hash_of, intent


async def test_lanes_slots_money_and_breakers_are_shown_beside_a_running_keeper(tmp_path):
    file = tmp_path / "ledger"
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    await ledger.take_over([(LANE, 0)])
    await ledger.bind(intent(), attempt(), 1)
    await ledger.trip("reverts", "3 in 100 blocks", 5)
    assert lane_lines(file, CHAIN_ID) == [
        f"lane {LANE} READY: next nonce 1, epoch 1, 1 in flight, reserved 0.0001 eth, spent 0 eth",
        "  nonce 0 LIVE: bid 1 of venue account 1, deadline 10, reserved 0.0001 eth",
        f"    attempt 0 act: tip 0.000000001 gwei, cap 1 gwei, gas 100000, {attempt().hash}",
        "all lanes: reserved 0.0001 eth, spent 0 eth",
        "breaker reverts OPEN: 3 in 100 blocks",
    ]
    shown = "\n".join(lane_lines(file, CHAIN_ID))
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
    assert f"lane {LANE} READY: next nonce 4," in shown
    assert "breaker loss_day closed" in shown


async def test_who_gave_way_and_who_won_is_shown(tmp_path):
    file = tmp_path / "ledger"
    ledger = await Ledger.open(file, CHAIN_ID, CapParameters())
    await ledger.take_over([(LANE, 0)])
    await ledger.bind(intent(), attempt(), 1)
    (slot,) = await ledger.open_slots()
    newer = attempt(0, 1, cap_wei=2 * 10**9)
    await ledger.displace(slot, Binding(intent(2, 2), newer, 1))
    shown = "\n".join(lane_lines(file, CHAIN_ID))
    assert "  nonce 0 LIVE: bid 2 of venue account 2, deadline 10, reserved 0.0002 eth\n" in shown
    assert "    displaced bid 1 of venue account 1, deadline 10: attempts to 0 are its\n" in shown
    (slot,) = await ledger.open_slots()
    receipt = Receipt(slot.attempts[0].hash, hash_of(9), 9, 0, True, 21_000, 10**9)
    await ledger.include(slot, receipt, 21_000 * 10**9, "DONE", "")
    shown = "\n".join(lane_lines(file, CHAIN_ID))
    assert "  nonce 0 INCLUDED in block 9: bid 2" in shown
    assert f"{slot.attempts[0].hash} WON" in shown
    assert f"{newer.hash} WON" not in shown
    assert "all lanes: reserved 0 eth, spent 0.000021 eth" in shown
    await ledger.close()
