"""Compiled contracts: what is stale, compiling it, and loading the result by contract name.

It knows sources, the compiler and `build/contracts`; it must not know the node or what a contract
means. Every source file is a compilation unit of its own with a key over all it imports, the
compiler and the settings, so that an unchanged tree compiles nothing and an edit recompiles only
the files that can see it. Results are written aside and renamed, under a lock that other processes
respect: a reader sees an old artifact or a new one, never half of one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


DEVNET = Path(__file__).resolve().parents[1]
CONTRACTS = DEVNET / "contracts"
EXECUTOR_CONTRACTS = DEVNET.parent / "executor" / "contracts"
ROOTS = (CONTRACTS, EXECUTOR_CONTRACTS)  # a source is named by its path under one of them
NODE_MODULES = DEVNET / "node_modules"
BUILD = DEVNET.parents[1] / "build" / "contracts"

# The legacy pipeline: the manager has to stay below the 24,576 bytes a real chain allows.
SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 10_000},
    "evmVersion": "cancun",
    "viaIR": False,
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
}

_IMPORT = re.compile(r"^\s*import\b[^;]*?[\"']([^\"']+)[\"']\s*;", re.MULTILINE)
_CONTRACT = re.compile(r"^(?:contract|library)\s+(\w+)", re.MULTILINE)


class ArtifactError(Exception):
    """A contract cannot be had: unknown name, no compiler, or a source that does not compile."""


@dataclass(frozen=True)
class Artifact:
    """One compiled contract; code is hex without `0x`, `selectors` maps `f(uint256)` to hex."""

    name: str
    source: str
    key: str
    abi: list[dict[str, Any]]
    bytecode: str
    deployed_bytecode: str
    link_references: dict[str, dict[str, list[dict[str, int]]]]
    selectors: dict[str, str]

    def linked(self, libraries: Mapping[str, str] | None = None) -> str:
        """Creation bytecode with `0x`, each library's address (by library name) put in its places.

        Raises ArtifactError when a library that the contract calls is not among `libraries`.
        """
        code = self.bytecode
        for names in self.link_references.values():
            for library, places in names.items():
                if libraries is None or library not in libraries:
                    raise ArtifactError(f"{self.name} needs the address of library {library}")
                address = libraries[library].removeprefix("0x").lower().rjust(40, "0")
                for place in places:
                    start = place["start"] * 2
                    code = code[:start] + address + code[start + 40 :]
        return "0x" + code


def load(name: str) -> Artifact:
    """Find the artifact of contract `name`, compiled first if its sources changed since.

    Raises ArtifactError, which names the cure, when there is no such contract or no compiler.
    """
    source = _source_of(name)
    key = unit_key(source)
    artifact = _read(name, key)
    if artifact is None:
        compile_sources([source])
        artifact = _read(name, unit_key(source))
    if artifact is None:
        raise ArtifactError(f"{source} compiled, but yielded no bytecode for {name}: abstract?")
    return artifact


def compile_all() -> list[str]:
    """Compile every stale unit under `ROOTS`; the sources that were compiled, in order."""
    return compile_sources(sources())


def sources() -> list[str]:
    """Source files that define a contract or library, relative to their root, in name order."""
    found = sorted(
        path.relative_to(root).as_posix() for root in ROOTS for path in root.rglob("*.sol")
    )
    return [each for each in found if _CONTRACT.search((_root_of(each) / each).read_text())]


def unit_key(source: str) -> str:
    """Hash of a source, all that it imports, the compiler's version (by the lock) and settings."""
    digest = hashlib.sha256(json.dumps(SETTINGS, sort_keys=True).encode())
    digest.update((DEVNET / "package-lock.json").read_bytes())
    digest.update((DEVNET / "compile.js").read_bytes())
    for name, content in sorted(_closure(source).items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def compile_sources(wanted: Sequence[str]) -> list[str]:
    """Compile those of `wanted` whose artifacts are stale; returns what was compiled.

    Raises ArtifactError with the compiler's own words when a source does not compile.
    """
    with _locked():
        jobs = [{"source": each, "key": unit_key(each)} for each in wanted]
        stale = [job for job in jobs if not _fresh(job["source"], job["key"])]
        if stale:
            for root in ROOTS:
                of_root = [job for job in stale if _root_of(job["source"]) == root]
                for result in _run_compiler(root, of_root) if of_root else ():
                    _write(result)
    return [job["source"] for job in stale]


def _source_of(name: str) -> str:
    declares = re.compile(rf"^(?:contract|library)\s+{re.escape(name)}\b", re.MULTILINE)
    found = [each for each in sources() if declares.search((_root_of(each) / each).read_text())]
    if len(found) != 1:
        raise ArtifactError(f"{len(found)} source files declare contract {name}")
    return found[0]


def _root_of(source: str) -> Path:
    """Return the root that holds a source; the first of them where none does."""
    return next((root for root in ROOTS if (root / source).exists()), CONTRACTS)


def _closure(source: str) -> dict[str, bytes]:
    """Contents of `source` and everything it imports, by import name."""
    contents: dict[str, bytes] = {}
    root = _root_of(source)
    waiting = [source]
    while waiting:
        name = waiting.pop()
        if name in contents:
            continue
        path = root / name
        if not path.exists():
            path = NODE_MODULES / name
        if not path.exists():
            raise ArtifactError(f"{name}, imported by {source}, is missing: run `make setup`")
        contents[name] = path.read_bytes()
        for imported in _IMPORT.findall(contents[name].decode()):
            relative = imported.startswith(".")
            joined = os.path.normpath(f"{Path(name).parent}/{imported}") if relative else imported
            waiting.append(Path(joined).as_posix())
    return contents


def _run_compiler(root: Path, jobs: Sequence[Mapping[str, str]]) -> Iterator[dict[str, Any]]:
    node = shutil.which("node")
    if node is None:
        raise ArtifactError("no `node` on PATH: install Node.js 20 or newer, then `make setup`")
    if not (NODE_MODULES / "solc").is_dir():
        raise ArtifactError(f"no solc under {NODE_MODULES}: run `make setup`")
    request = {
        "root": str(root),
        "modules": str(NODE_MODULES),
        "settings": SETTINGS,
        "jobs": list(jobs),
    }
    done = subprocess.run(
        [node, str(DEVNET / "compile.js")],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(results) != len(jobs):
        raise ArtifactError(f"the compiler ended with {done.returncode}: {done.stderr[-2000:]}")
    yield from (each for each in results if "errors" not in each)
    failures = [line for each in results for line in each.get("errors", ())]
    if failures:
        raise ArtifactError("\n".join(failures))


def _fresh(source: str, key: str) -> bool:
    declared = _CONTRACT.findall((_root_of(source) / source).read_text())
    return all(_read(name, key) is not None for name in declared)


def _read(name: str, key: str) -> Artifact | None:
    path = BUILD / f"{name}.json"
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return Artifact(**raw) if raw["key"] == key else None


def _write(result: Mapping[str, Any]) -> None:
    for contract in result["contracts"]:
        artifact = {
            "name": contract["name"],
            "source": result["source"],
            "key": result["key"],
            "abi": contract["abi"],
            "bytecode": contract["bytecode"],
            "deployed_bytecode": contract["deployedBytecode"],
            "link_references": contract["linkReferences"],
            "selectors": contract["selectors"],
        }
        with tempfile.NamedTemporaryFile("w", dir=BUILD, suffix=".part", delete=False) as aside:
            json.dump(artifact, aside)
        Path(aside.name).replace(BUILD / f"{contract['name']}.json")


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the build directory's lock: two processes must not compile the same unit at once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for compiled in compile_all():
        print(compiled)
