"""A local EVM node as a child process: started, asked, stopped, killed and brought back.

It knows anvil's command line; it must not know contracts. Whatever becomes of this process, the
child does not outlive it: a guard, blocked on a pipe that only we hold, ends it when we are gone.
"""

from __future__ import annotations

import atexit
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from deploy.devnet.chain.artifacts import NODE_MODULES
from deploy.devnet.chain.rpc import Call, Rpc


HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
PORTS_TRIED = 100
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
START_ATTEMPTS = 3


class NodeError(Exception):
    """The node cannot be found, or did not start; the message carries its last words."""


@dataclass(frozen=True)
class NodeOptions:
    """How the node runs; what is None is left to anvil.

    `port` 0 lets the system pick one, which is then kept over restarts. `state_file` is loaded at
    start and dumped every `state_interval_s`, so that a killed node comes back at its last dump.
    With `mining` false a block is made only on request; `block_time_s` makes one by the clock.
    """

    port: int = 0
    chain_id: int = 31337
    state_file: Path | None = None
    state_interval_s: int = 5
    block_time_s: float | None = None
    mining: bool = True
    accounts: int = 10
    timestamp: int | None = None
    history_states: int = 2000
    gas_limit: int = 1_000_000_000


class Node:
    """One anvil process; a context manager that starts on entry and stops on exit."""

    def __init__(self, options: NodeOptions | None = None) -> None:
        self.options = options if options is not None else NodeOptions()
        self.port = self.options.port
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._rpc: Rpc | None = None

    @property
    def url(self) -> str:
        """HTTP endpoint."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws_url(self) -> str:
        """WebSocket endpoint."""
        return f"ws://{HOST}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Process id while running."""
        return self._process.pid if self._process is not None and self.running else None

    def start(self) -> Self:
        """Start and wait until the node answers. Raises NodeError with what the node said."""
        if self.running:
            raise NodeError(f"the node is already running on port {self.port}")
        binary = find_anvil()
        picked = self.port == 0
        for attempt in range(START_ATTEMPTS):
            # Somebody else's node on the port would answer in ours' place.
            self.port = free_port() if picked else _held_port(self.port)
            self._launch(binary)
            if self._answers():
                return self
            words = self.log()
            self.kill()
            # Another process may have taken the port between our look and the node's bind.
            if not (picked and "in use" in words) or attempt + 1 == START_ATTEMPTS:
                raise NodeError(f"{binary} did not start on port {self.port}:\n{words[-4000:]}")
        raise NodeError(f"no free port in {START_ATTEMPTS} attempts")

    def stop(self) -> None:
        """End the process in order (it dumps its state, if it has a file) and clean up."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as a power cut would; the last dump of its state remains."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Start again on the same port; with a state file, from its last dump."""
        if self.running:
            self.stop()
        return self.start()

    def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; see Rpc.call."""
        return self.rpc.call(method, *params)

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Many JSON-RPC calls in one request; see Rpc.batch."""
        return self.rpc.batch(calls)

    @property
    def rpc(self) -> Rpc:
        """The client of this node. Raises NodeError before the first start."""
        if self._rpc is None:
            raise NodeError("the node was not started")
        return self._rpc

    def log(self) -> str:
        """All that the running node wrote; empty once it is stopped and cleaned up."""
        path = self._folder / "anvil.log" if self._folder is not None else None
        return path.read_text(errors="replace") if path is not None and path.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _launch(self, binary: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="keeper-anvil-"))
        _running.append(self)
        with (self._folder / "anvil.log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(binary), *self._arguments(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is ours to handle: the node ends when we say so.
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", f"cat > /dev/null; kill -9 {self._process.pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._rpc = Rpc(self.url)

    def _arguments(self, folder: Path) -> list[str]:
        chosen = self.options
        words = ["--host", HOST, "--port", str(self.port), "--chain-id", str(chosen.chain_id)]
        words += ["--silent", "--no-request-size-limit", "--cache-path", str(folder / "cache")]
        # Without a bound on history the node fills the disk.
        words += ["--prune-history", str(chosen.history_states)]
        words += ["--gas-limit", str(chosen.gas_limit), "--accounts", str(chosen.accounts)]
        if chosen.state_file is not None:
            words += ["--state", str(chosen.state_file)]
            words += ["--state-interval", str(chosen.state_interval_s)]
        if not chosen.mining:
            words.append("--no-mining")
        if chosen.block_time_s is not None:
            words += ["--block-time", str(chosen.block_time_s)]
        if chosen.timestamp is not None:
            words += ["--timestamp", str(chosen.timestamp)]
        return words

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.running:
            try:
                self.rpc.call("eth_chainId")
            except OSError:
                time.sleep(0.02)
            else:
                return self.running
        return False

    def _end(self, how: signal.Signals) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._rpc is not None:
            self._rpc.close()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None
        if self in _running:
            _running.remove(self)


def find_anvil() -> Path:
    """Find the node: the binary npm installed for this platform, else `anvil` on PATH.

    Raises NodeError, which names the cure, when there is neither.
    """
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{machine}"
    installed = NODE_MODULES / "@foundry-rs" / package / "bin" / "anvil"
    if installed.is_file():
        return installed
    found = shutil.which("anvil")
    if found is None:
        raise NodeError(
            f"no anvil: npm has none installed as {package} and none is on PATH. "
            "Run `make setup`, or install Foundry so that `anvil` is on PATH."
        )
    return Path(found)


_running: list[Node] = []


@atexit.register
def _kill_all() -> None:
    for node in _running:
        node.kill()


def free_port() -> int:
    """Return a port that nobody listens on now, to be bound a moment later.

    Not one of those that the system gives to connections: any of them might be given that one in
    between, or while who listens there is away for a moment.
    """
    for _ in range(PORTS_TRIED):
        port = PORTS[secrets.randbelow(len(PORTS))]
        try:
            return _held_port(port)
        except NodeError:
            continue
    raise NodeError(f"no free port in {PORTS_TRIED} attempts")


def _held_port(wanted: int) -> int:
    """Return `wanted` if nobody listens there. Raises NodeError if taken."""
    with socket.socket() as probe:
        # As the node binds it: a port that was only just given up is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as taken:
            raise NodeError(f"port {wanted} is taken by another process: {taken}") from taken
        return wanted
