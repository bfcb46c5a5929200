"""A slice of `make plugs`: each plug pulled once while the demo's market crashes, and every depth.

What is judged, and how, is in `tests.integration.plugs` and `crash_world`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from eth_account import Account

from deploy.devnet.chain.node import Node, NodeOptions
from deploy.devnet.venue.scene import GENESIS_S
from tests.integration.crash_world import Crash
from tests.integration.plugs import DEPTH_MAX, PLUGS, begin, conclude, play, reorganise


pytestmark = pytest.mark.node

# What each run of the keeper ended with: 74 is a disk that cannot be written.
EXITS = {"journal full": (74, 0), "disk full": (74, 0), "ledger full": (0, 0)}


@pytest.mark.parametrize("name", PLUGS)
def test_a_plug_pulled_in_mid_crash_ends_in_the_chains_state_with_nothing_stray_sent(
    tmp_path: Path, name: str
) -> None:
    outcome = play(name, tmp_path, seed=3, blocks=26, moments=[14])
    assert outcome.wrong == ()
    assert outcome.pulls == 1
    assert outcome.exits == EXITS.get(name, (0,))
    # No toy: auctions were begun and bid for, before and after.
    assert outcome.starts >= 3
    assert outcome.bids >= 1


def test_reorg_state_equals_cold_replay_at_depths_1_to_8_and_the_verdict_can_condemn(
    tmp_path: Path,
) -> None:
    with Node(NodeOptions(mining=False, timestamp=GENESIS_S)) as node:
        run = begin(node, tmp_path, PLUGS["chain reorganised"], seed=5, blocks=30)
        stand = run.stand
        try:
            for _ in range(DEPTH_MAX + 2):
                stand.play(run.keeper)
            for depth in range(1, DEPTH_MAX + 1):
                stand.play(run.keeper)
                reorganise(run, depth)
                assert stand.apart(run.keeper) == [], f"after {depth} blocks were replaced"
            assert conclude(run).wrong == ()
            assert len(run.keeper.lines("rewound")) >= DEPTH_MAX
            assert len(run.keeper.journals()) == 1, "it was undone, not begun anew"
        finally:
            run.keeper.kill()
        send_elsewhere(stand)
        words = " ".join(stand.wrong(run.keeper, [stand.address]))
        for problem in ("bytes no ledger knows", "stands at", "paid"):
            assert problem in words


def send_elsewhere(stand: Crash) -> None:
    """Use the lane's key behind the keeper's back."""
    node, key = stand.node, (stand.folder / "lane0.key").read_text()
    nonce = int(node.call("eth_getTransactionCount", stand.address, "latest"), 16)
    fields = {"type": 2, "chainId": 31_337, "to": stand.address, "value": 0, "gas": 21_000}
    fees = {"maxFeePerGas": 10**11, "maxPriorityFeePerGas": 1, "nonce": nonce}
    signed = Account.sign_transaction(fields | fees, key)
    node.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
    stand.still()
