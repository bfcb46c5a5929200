"""The local node as a process, and the compiler's cache: what holds when either is disturbed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.devnet.chain import artifacts
from deploy.devnet.chain.node import Node, NodeError, NodeOptions
from deploy.devnet.chain.rpc import Call, RpcError
from tests.integration.keeper_process import wait_for


pytestmark = pytest.mark.node

ROOT = Path(__file__).resolve().parents[2]
SOMEBODY = "0x000000000000000000000000000000000000c0de"


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def dumped(path: Path, balance: str) -> str:
    """Return the node's dump if it is whole and somebody has this balance in it, else nothing."""
    try:
        text = path.read_text()
        accounts = json.loads(text)["accounts"]
    except (OSError, ValueError):
        return ""
    held = {name.lower(): int(each["balance"], 16) for name, each in accounts.items()}
    return text if held.get(SOMEBODY) == int(balance, 16) else ""


def test_stopped_node_leaves_neither_process_nor_folder() -> None:
    node = Node().start()
    pid, folder = node.pid, node._folder
    assert pid is not None
    assert folder is not None
    assert folder.is_dir()
    node.stop()
    assert not alive(pid)
    assert not folder.exists()
    assert not node.running


def test_node_dies_with_a_parent_that_had_no_time_to_say_so() -> None:
    script = (
        "import os\n"
        "from deploy.devnet.chain.node import Node\n"
        "print(Node().start().pid, flush=True)\n"
        "os._exit(1)"
    )
    child = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    pid = int(child.stdout)
    wait_for("its end", lambda: not alive(pid))


def test_killed_node_comes_back_on_its_port_at_its_last_dump(tmp_path: Path) -> None:
    with Node(NodeOptions(state_file=tmp_path / "state.json", state_interval_s=1)) as node:
        node.call("anvil_setBalance", SOMEBODY, hex(7))
        node.call("evm_mine")
        port = node.port
        dump = tmp_path / "state.json"
        kept = wait_for("a whole dump with it", lambda: dumped(dump, hex(7)))
        node.call("anvil_setBalance", SOMEBODY, hex(8))
        node.kill()
        dump.write_text(kept)  # whether or not the node found time for another
        assert not node.running
        with pytest.raises(ConnectionError):
            node.call("eth_blockNumber")
        node.restart()
        assert node.port == port
        assert node.call("eth_getBalance", SOMEBODY, "latest") == hex(7)


def test_node_whose_port_is_taken_refuses_to_start() -> None:
    with Node() as first:
        second = Node(NodeOptions(port=first.port))
        with pytest.raises(NodeError, match=f"port {first.port} is taken"):
            second.start()
        assert not second.running
        assert first.call("eth_chainId") == hex(31337)


def test_node_that_does_not_start_is_quoted() -> None:
    with pytest.raises(NodeError, match="invalid value 'none'"):
        Node(NodeOptions(gas_limit="none")).start()  # type: ignore[arg-type]


def test_error_in_a_batch_stands_in_its_place(node: Node) -> None:
    calls: list[Call] = [("eth_chainId", []), ("eth_nonsense", []), ("eth_blockNumber", [])]
    first, second, third = node.rpc.try_batch(calls)
    assert (first, third) == (hex(31337), hex(0))
    assert isinstance(second, RpcError)
    assert second.method == "eth_nonsense"
    with pytest.raises(RpcError, match="eth_nonsense"):
        node.batch(calls)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of two small contracts with a build folder of its own."""
    contracts = tmp_path / "contracts"
    (contracts / "libraries").mkdir(parents=True)
    for name in ("libraries/Svi.sol", "libraries/NormalCdf.sol"):
        shutil.copy(artifacts.CONTRACTS / name, contracts / name)
    monkeypatch.setattr(artifacts, "CONTRACTS", contracts)
    monkeypatch.setattr(artifacts, "ROOTS", (contracts,))
    monkeypatch.setattr(artifacts, "BUILD", tmp_path / "build")
    return contracts


def test_unchanged_tree_compiles_nothing_and_an_edit_only_what_sees_it(copied: Path) -> None:
    names = ["libraries/NormalCdf.sol", "libraries/Svi.sol"]
    assert artifacts.compile_all() == names
    assert artifacts.compile_all() == []
    edited = copied / names[1]
    edited.write_text(edited.read_text() + "\n// changed\n")
    assert artifacts.compile_all() == names[1:]


def test_source_that_does_not_compile_is_named_and_spares_its_neighbours(copied: Path) -> None:
    (copied / "Broken.sol").write_text("pragma solidity 0.8.30;\ncontract Broken { nonsense }\n")
    with pytest.raises(artifacts.ArtifactError, match=r"Broken\.sol"):
        artifacts.compile_all()
    assert artifacts.load("NormalCdf").source == "libraries/NormalCdf.sol"
    with pytest.raises(artifacts.ArtifactError, match=r"0 source files declare contract Nowhere"):
        artifacts.load("Nowhere")


def test_missing_compiler_names_the_cure(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(artifacts.ArtifactError, match="make setup"):
        artifacts.load("Svi")
