"""What is installed is what was looked at: every package pinned by its hash, from no named host."""

import json
import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
REQUIREMENT = re.compile(r"^(\S+)==(\S+?)(?: ;.*)? \\$")
LOCKS = ("requirements.lock", "deploy/devnet/package-lock.json")


def unpinned(lock: str) -> list[str]:
    """Return the lines of a lock that are no comment, no pinned requirement and no hash of one."""
    loose, hashes, name = [], 1, ""
    for line in [*lock.splitlines(), "end==0 \\"]:
        if found := REQUIREMENT.match(line):
            if hashes == 0:
                loose.append(name)
            name, hashes = found[1], 0
        elif line.strip().startswith("--hash=sha256:"):
            hashes += 1
        elif line.strip() and not line.strip().startswith("#"):
            loose.append(line)
    return loose


def test_every_python_package_is_pinned_by_version_and_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert unpinned(lock) == []
    assert lock.count("--hash=sha256:") > 100


@pytest.mark.parametrize(
    "planted",
    ["left-pad>=1", "left-pad==1.0", "left-pad==1.0 \\\n    # via nobody", "git+https://x/y"],
)
def test_a_loose_package_is_seen(planted: str) -> None:
    good = "orjson==3.1 \\\n    --hash=sha256:00\n    # via us\n"
    assert unpinned(good) == []
    assert unpinned(f"{good}{planted}\n") != []
    assert unpinned(f"{planted}\n{good}") != []


def test_every_node_package_is_pinned_by_its_hash() -> None:
    lock = json.loads((ROOT / "deploy/devnet/package-lock.json").read_text())
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert packages
    assert [name for name, each in packages.items() if "integrity" not in each] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_names_a_host_to_install_from(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "resolved" not in text
    assert not re.search(r"^--(extra-)?index-url|^-i ", text, re.MULTILINE)


def test_the_set_up_installs_by_hash_and_as_locked() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "--require-hashes requirements.lock" in makefile
    assert "npm ci" in makefile
