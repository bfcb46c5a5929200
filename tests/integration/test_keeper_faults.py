"""The keeper when its node, its chain or itself is taken away: right state, nothing done twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.venue.scene import GENESIS_S
from keeper.config import load
from tests.integration.crash_world import Crash, ledger_of
from tests.integration.keeper_process import recorded, wait_for
from tests.integration.keeper_rig import SHORT_VENUE, Rig, rig_in
from tests.integration.keeper_stand import KeeperStand, replay_of


pytestmark = pytest.mark.node


def breaches(rig: Rig, count: int, first_usd: int = 300) -> list[int]:
    """Open accounts that go over the line one after another as the spot falls from 3,000."""
    return [rig.open_with(str(first_usd + 150 * at), rig.perp("10")) for at in range(count)]


def started_once(rig: KeeperStand, accounts: list[int]) -> bool:
    """Tell whether every account has exactly one start on the chain as it is."""
    return all(len(rig.starts(account)) == 1 for account in accounts)


def test_a_node_that_comes_back_from_its_dump_is_followed_to_the_right_state(
    tmp_path: Path,
) -> None:
    dump = tmp_path / "node.json"
    options = NodeOptions(mining=False, state_file=dump, state_interval_s=1)
    with rig_in(tmp_path, SHORT_VENUE, options) as rig:
        accounts = breaches(rig, 6)
        keeper = rig.keeper()
        rig.play(keeper)
        rig.play(keeper, spot=2_960)
        kept = rig.number
        lost_from = wait_for("a dump of this block", lambda: dumped(dump, kept), 30.0)
        for spot in (2_940, 2_925, 2_910):
            rig.play(keeper, spot=spot)
        assert sum(len(rig.starts(account)) for account in accounts) >= 2
        rig.node.kill()
        dump.write_text(lost_from)  # a later dump may have come in between
        rig.node.restart()
        assert rig.number == kept, "three blocks are lost, with all that was in them"
        rig.resume()
        keeper.wait("the rewind", lambda: keeper.lines("rewound") or keeper.journals()[1:])
        for spot in (2_930, 2_900, 2_890, 2_880, 2_870):
            rig.play(keeper, spot=spot)
        rig.play_until(keeper, lambda: started_once(rig, accounts[:5]))
        assert rig.apart(keeper) == []
        assert keeper.stop() == 0
        assert all(len(rig.starts(account)) <= 1 for account in accounts)
        for journal in keeper.journals():
            replay_of(load(keeper.config), journal)


def dumped(path: Path, number: int) -> str:
    """Return the node's dump if it is whole and of this block, else nothing."""
    text = path.read_text() if path.exists() else ""
    try:
        best = json.loads(text)["best_block_number"]
    except json.JSONDecodeError:
        return ""
    return text if int(str(best), 0) == number else ""


def test_a_reorg_with_our_transactions_in_it_ends_in_the_right_state(tmp_path: Path) -> None:
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        rig.lane()
        accounts, saver = breaches(rig, 4), rig.open(rig.cash("100"), rig.perp("0.01"))
        core = rig.core
        rig.do(core.usdc, "mint", rig.sender.address, 10**9)
        keeper = rig.keeper()
        rig.play(keeper)
        rig.play(keeper, spot=2_940)
        rig.play(keeper)
        # What a stranger does here is gone for good, so that only taking it back undoes it.
        rig.do(core.cash, "deposit", saver, 10**9)
        rig.do(rig.book.manager, "settlePerpsWithIndex", saver)
        rig.play(keeper, spot=2_920)
        own = [start["number"] for account in accounts for start in rig.starts(account)]
        assert own
        # What it has not seen included could not be seen to be taken back.
        keeper.wait("receipts", lambda: len(keeper.events("TransactionIncluded")) >= len(own))
        assert min(own) > rig.number - 5
        before = rig.head["hash"]
        rig.node.call("anvil_reorg", 5, [])
        assert rig.head["hash"] != before
        assert sum(len(rig.starts(account)) for account in accounts) == 0
        rig.resume()
        keeper.wait("the rewind", lambda: keeper.lines("rewound"))
        assert rig.apart(keeper) == []
        rig.play(keeper, spot=2_900)
        rig.play_until(keeper, lambda: started_once(rig, accounts[:3]))
        assert keeper.events("TransactionOrphaned")
        assert len(keeper.journals()) == 1, "it was undone, not begun anew"
        assert rig.apart(keeper) == []
        assert keeper.stop() == 0
        rig.replayed(keeper)


def test_a_killed_keeper_goes_on_where_it_was_and_does_nothing_twice(tmp_path: Path) -> None:
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        accounts = breaches(rig, 5, first_usd=100)
        keeper = rig.follow(rig.process(rig.document(lanes=2)))
        rig.play(keeper)
        rig.play(keeper, spot=2_970)  # sent, not yet included
        # The lines are written by a thread that a kill does not wait for.
        committed = keeper.wait("its lines", lambda: keeper.lines("command_committed"))
        assert len(committed) >= 1
        keeper.kill()
        rig.follow(keeper)
        (again,) = keeper.events("Started")
        assert again["next_command_id"] > max(each["command_id"] for each in committed)
        rig.step(2_950)
        # Killed while it is at it, whatever that is.
        keeper.wait("a commit", lambda: keeper.events("CommandCommitted"))
        keeper.kill()
        committed += keeper.lines("command_committed")
        rig.follow(keeper)
        for spot in (2_930, 2_910, 2_890):
            rig.play(keeper, spot=spot)
        rig.play_until(keeper, lambda: started_once(rig, accounts))
        assert rig.apart(keeper) == []
        assert keeper.stop() == 0
        used = [
            int(rig.node.call("eth_getTransactionCount", rig.lane(index), "latest"), 16)
            for index in (0, 1)
        ]
        assert sum(used) == len(accounts), "every transaction of ours was a start that was needed"
        bound = [entry for path in keeper.all_journals() for entry in commits(path)]
        assert len(bound) == len(set(bound)), "none was bound a second time"
        # One that was bound in the very moment of the kill is in the ledger and in no journal.
        assert set(bound) <= in_ledger(keeper.data_dir)
        assert {each["account"] for each in committed} <= set(accounts)
        for journal in keeper.all_journals():
            replay_of(load(keeper.config), journal)


def in_ledger(data_dir: Path) -> set[str]:
    """Return the transactions that the ledger holds."""
    with ledger_of(data_dir) as db:
        return {str(each) for (each,) in db.execute("SELECT hash FROM attempt")}


def commits(journal: Path) -> list[str]:
    """Return the transactions that a run made durable, in order."""
    return [each["transaction"] for each in recorded([journal], ("CommandCommitted",))]


ACTS = ("play", "play", "play", "reorg", "rollback", "kill", "kill in flight")


@pytest.mark.parametrize("chance_seed", [2, 8])
def test_whatever_is_taken_away_every_breach_is_started_once(
    tmp_path: Path, chance_seed: int
) -> None:
    chance = random.Random(chance_seed)
    with rig_in(tmp_path, SHORT_VENUE) as rig:
        document = rig.document(lanes=2)
        accounts = breaches(rig, 5, first_usd=100)
        rig.step()
        floor, spot = rig.number, 3_000.0
        keeper = rig.follow(rig.process(document))
        acts = [chance.choice(ACTS) for _ in range(24)]
        for act in acts:
            spot = max(2_905.0, spot - chance.uniform(0.0, 12.0))
            depth = chance.randint(1, 3)
            match act:
                case "play":
                    rig.play(keeper, spot=int(spot))
                case "reorg" | "rollback" if rig.number - depth > floor:
                    words = (depth, []) if act == "reorg" else (depth,)
                    rig.node.call(f"anvil_{act}", *words)
                    rig.resume()
                case "kill" | "kill in flight":
                    if act == "kill in flight":
                        rig.step(int(spot))
                    keeper.kill()
                    rig.follow(keeper)
        rig.play(keeper, spot=2_895)
        rig.play_until(keeper, lambda: started_once(rig, accounts), 30)
        for _ in range(3):
            rig.play(keeper)
        assert started_once(rig, accounts), acts
        assert rig.apart(keeper) == []
        assert keeper.stop() == 0
        rig.replayed(keeper)


def test_after_a_crash_with_auctions_and_bids_our_state_is_the_chains(tmp_path: Path) -> None:
    with Node(NodeOptions(mining=False, timestamp=GENESIS_S)) as node:
        stand = Crash(node, tmp_path)
        try:
            keeper = stand.keeper(
                strategy="dutch_auction", bidders=stand.bidders, profit_min_usd=1.0, risk_rate=0.0
            )
            while not stand.driver.done:
                stand.play(keeper)
            starts = Counter(each["accountId"] for each in stand.happened("SolventAuctionStarted"))
            bids = stand.happened("Bid")
            assert len(starts) >= 5
            assert {bid["bidderId"] for bid in bids} <= set(stand.bidders)
            assert len(bids) >= 2
            assert stand.apart(keeper) == []
            reasons = [each["reason"] for each in keeper.events("TransactionReverted")]
            # A price that ran away from a bid is what its limit is for, however often it happens.
            reverted = [each for each in reasons if each != "DA_PriceLimitExceeded"]
            assert len(reverted) <= len(starts) // 4, reasons
            assert keeper.stop() == 0
            counts, _ = stand.replayed(keeper)
            assert counts.commands >= len(starts) + len(bids)
        finally:
            for each in stand.keepers:
                each.kill()
