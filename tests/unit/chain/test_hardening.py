"""A process that holds keys: no core dump of it, and nobody of its own user reads its memory."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.unit.chain.scripted_node import PATIENCE_S


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")

ROOT = Path(__file__).resolve().parents[3]
PRELUDE = """
import ctypes, os, resource, sys
def dumpable():
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)  # PR_GET_DUMPABLE
"""


def script(text: str, **more: Any) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", PRELUDE + textwrap.dedent(text)]
    return subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more
    )


def test_before_the_first_key_the_process_cannot_be_dumped() -> None:
    said, _ = script(
        """
        from keeper.chain.keys.hardening import deny_dumps
        print(dumpable())
        deny_dumps()
        print(dumpable(), *resource.getrlimit(resource.RLIMIT_CORE))
        """
    ).communicate(timeout=PATIENCE_S)
    assert said.split() == ["1", "0", "0", "0"]


@pytest.mark.parametrize("denied", [True, False])
def test_a_process_of_the_same_user_cannot_read_its_memory(denied: bool) -> None:
    """Without the guard it can: else this test would prove nothing."""
    deny = "from keeper.chain.keys.hardening import deny_dumps; deny_dumps()" if denied else ""
    holder = script(f"{become_nobody()}\n{deny}\nprint('up', flush=True)\nsys.stdin.read()")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "up\n"
        said, _ = script(
            f"""
            {become_nobody()}
            try:
                open("/proc/{holder.pid}/mem", "rb").close()
                print("read")
            except PermissionError:
                print("refused")
            """
        ).communicate(timeout=PATIENCE_S)
        assert said == ("refused\n" if denied else "read\n")
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()


def become_nobody() -> str:
    """Return the line that makes root, who may read everything, somebody ordinary.

    The kernel forbids dumps of a process whose user changed; that is taken back, so that what is
    seen is the keeper's own doing.
    """
    if os.geteuid() != 0:
        return ""
    return (
        "import keeper.chain.keys.hardening; os.setgid(65534); os.setuid(65534); "
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)"
    )
