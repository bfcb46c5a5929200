"""Pre-emption in the ledger: what binds a nonce twice and how, whose money it is, what stays."""

import sqlite3

import pytest

from keeper.chain.ledger.rows import Binding, CapParameters, Receipt, Slot
from keeper.chain.ledger.store import Ledger
from tests.unit.chain.fake_node import CHAIN_ID
from tests.unit.chain.lane_bench import LANE, attempt, hash_of, intent


async def ledger_with(tmp_path, caps=None):
    ledger = await Ledger.open(tmp_path / "ledger", CHAIN_ID, caps or CapParameters())
    await ledger.take_over([(LANE, 0)])
    await ledger.bind(intent(1, 1), attempt(0), 1)
    (slot,) = await ledger.open_slots()
    return ledger, slot


def outbid(slot: Slot, **changes):
    fields = {"cap_wei": 2 * 10**9} | changes
    return attempt(slot.nonce, slot.last.seq + 1, **fields)


async def test_a_displaced_intent_stays_bound_and_the_slot_knows_whose_bytes_are_whose(tmp_path):
    ledger, slot = await ledger_with(tmp_path)
    bound = await ledger.displace(slot, Binding(intent(2, 2), outbid(slot), 1))
    (after,) = await ledger.open_slots()
    assert after.intent_id == bound
    assert [each.intent.command_id for each in after.claims] == [1, 2]
    assert after.claim(slot.last.hash).intent.command_id == 1
    assert after.claim(after.last.hash).intent.command_id == 2
    assert await ledger.bind(intent(3, 1), attempt(1), 1) == "live_action"
    await ledger.close()


@pytest.mark.parametrize(
    ("newcomer", "cap_wei", "epoch", "why"),
    [
        (intent(2, 2), 2 * 10**9, 2, "epoch_lost"),
        (intent(1, 2), 2 * 10**9, 1, "duplicate_command"),
        (intent(2, 1), 2 * 10**9, 1, "live_action"),
        (intent(2, 2), 6 * 10**9, 1, "cap_transaction"),
    ],
)
async def test_a_displacement_is_refused_by_the_rules_of_binding(
    tmp_path, newcomer, cap_wei, epoch, why
):
    ledger, slot = await ledger_with(tmp_path, CapParameters(transaction_wei_max=5 * 10**14))
    before = await ledger.open_slots()
    made = outbid(slot, cap_wei=cap_wei)
    assert await ledger.displace(slot, Binding(newcomer, made, epoch)) == why
    assert await ledger.open_slots() == before
    assert await ledger.spent("total") == (10**14, 0)
    await ledger.close()


async def test_a_slot_that_was_included_or_displaced_meanwhile_is_not_given_away(tmp_path):
    ledger, slot = await ledger_with(tmp_path)
    assert isinstance(await ledger.displace(slot, Binding(intent(2, 2), outbid(slot), 1)), int)
    again = Binding(intent(3, 3), attempt(0, 5), 1)
    assert await ledger.displace(slot, again) == "slot_not_live"
    (now,) = await ledger.open_slots()
    receipt = Receipt(slot.last.hash, hash_of(9), 9, 0, True, 21_000, 10**9)
    await ledger.include(now, receipt, 21_000 * 10**9, "DONE", "")
    assert await ledger.displace(now, again) == "slot_not_live"
    await ledger.close()


async def test_a_receipt_that_crosses_a_displacement_ends_both_intents(tmp_path):
    """The follower saw the slot before it was displaced: the ledger knows better."""
    ledger, stale = await ledger_with(tmp_path)
    await ledger.displace(stale, Binding(intent(2, 2), outbid(stale), 1))
    receipt = Receipt(stale.last.hash, hash_of(9), 9, 0, True, 21_000, 10**9)
    await ledger.include(stale, receipt, 21_000 * 10**9, "DONE", "")
    (slot,) = await ledger.open_slots()
    assert {each.intent.command_id: each.intent.state for each in slot.claims} == {
        1: "DONE",
        2: "LOST",
    }
    assert await ledger.spent("total") == (0, 21_000 * 10**9)
    assert await ledger.spent("intent:1") == (0, 21_000 * 10**9)
    assert await ledger.spent("intent:2") == (0, 0)
    assert isinstance(await ledger.bind(intent(3, 2), attempt(1), 1), int)
    await ledger.close()


async def test_bytes_given_up_keep_their_account_while_a_reorg_lets_them_land(tmp_path):
    ledger, first = await ledger_with(tmp_path)
    await ledger.displace(first, Binding(intent(2, 2), outbid(first), 1))
    (slot,) = await ledger.open_slots()
    await ledger.include(
        slot, Receipt(slot.last.hash, hash_of(9), 9, 0, True, 21_000, 10**9), 1, "DONE", ""
    )
    await ledger.bind(intent(3, 1), attempt(1), 1)
    slot, other = await ledger.open_slots()
    await ledger.reopen(slot)
    await ledger.include(
        other, Receipt(other.last.hash, hash_of(8), 10, 0, True, 21_000, 10**9), 1, "DONE", ""
    )
    assert await ledger.bind(intent(4, 1), attempt(2), 1) == "live_action"
    await ledger.close()


async def test_a_displacement_reserves_only_the_difference_and_its_cap_is_its_own(tmp_path):
    ledger, slot = await ledger_with(tmp_path, CapParameters(intent_wei_max=3 * 10**14))
    assert await ledger.spent("total") == (10**14, 0)
    dear = Binding(intent(2, 2), outbid(slot, cap_wei=4 * 10**9), 1)
    assert await ledger.displace(slot, dear) == "cap_intent"
    await ledger.displace(slot, Binding(intent(2, 2), outbid(slot), 1))
    assert await ledger.spent("total") == (2 * 10**14, 0)
    assert await ledger.spent("intent:1") == (0, 0)
    await ledger.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE slot SET nonce = 7",
        "UPDATE slot SET intent_id = 1",  # back to the one displaced
        "UPDATE slot SET intent_id = 3",  # the holder was not displaced
        "UPDATE displaced SET seq_last = 1",
        "DELETE FROM displaced",
        "INSERT INTO slot VALUES(31337, '{lane}', 1, 1, 'act', 'LIVE', NULL)",
    ],
)
async def test_the_schema_binds_a_nonce_once_but_to_a_better_intent(tmp_path, statement):
    ledger, slot = await ledger_with(tmp_path)
    await ledger.displace(slot, Binding(intent(2, 2), outbid(slot), 1))
    await ledger.bind(intent(3, 3), attempt(1), 1)
    await ledger.close()
    db = sqlite3.connect(tmp_path / "ledger")
    db.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(statement.format(lane=LANE).replace("VALUES(31337", f"VALUES({CHAIN_ID}"))
    db.close()
