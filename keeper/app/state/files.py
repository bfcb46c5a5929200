"""State files on disk: which there are, whether one may be begun from, and writing the next.

A file is written aside, forced to the disk and renamed, so that it is whole or not there. It may
be begun from only where it is whole, of this edition, chain and configuration of venues, and of a
block that the chain still has. Must not know a run's parts.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from keeper import __version__
from keeper.app.assembly import Places
from keeper.config import Config, masked
from keeper.domain.errors import RpcError, StateRefused, StorageError
from keeper.domain.units import Hash
from keeper.portfolio.image import Cut, Image, Label, decode, encode
from keeper.ports import ChainReader, Header


SUFFIX: Final = ".columns"
ASIDE: Final = ".part"
REFUSED: Final = ".refused"  # an empty file beside one that turned out to be wrong


def label_of(config: Config, number: int, block: Hash) -> Label:
    """Return what a state of this configuration is labelled with at a block."""
    venues = json.dumps(masked(config)["venues"], sort_keys=True)
    digest = sha256(venues.encode()).hexdigest()
    return Label(__version__, config.chain.chain_id, digest, number, block)


def candidates(places: Places) -> list[Path]:
    """Return the files that may be looked at, the highest block first."""
    found = [path for path in places.snapshots.glob(f"*{SUFFIX}") if not mark_of(path).exists()]
    return sorted(found, key=_number, reverse=True)


def mark_of(path: Path) -> Path:
    """Return the file whose presence says that a state file must not be begun from again.

    The state itself stays: the journal of the run that found out names it.
    """
    return path.with_name(path.name + REFUSED)


def refuse(path: Path) -> None:
    """Let nobody begin from a file again; raises StorageError."""
    mark = mark_of(path)
    try:
        mark.touch()
    except OSError as error:
        raise StorageError(str(mark), f"cannot be written: {error.strerror}") from error


async def open_state(
    path: Path, config: Config, reader: ChainReader, gap_blocks_max: int
) -> tuple[Image, str, Header]:
    """Return a file's image, digest and block; raises StateRefused, and EndpointError."""
    image, digest = await asyncio.to_thread(read_state, path)
    check_label(image, config)
    label = image.label
    head = await reader.header("latest")
    if head.number - label.number > gap_blocks_max:
        problem = f"block {label.number}, head {head.number}, {gap_blocks_max} blocks at most"
        raise StateRefused(path.name, "too_far", problem)
    header = await _block(reader, label)
    if header is None or header.hash != label.hash:
        there = "no such block" if header is None else header.hash
        problem = f"block {label.number} was {label.hash}, the chain has {there}"
        raise StateRefused(path.name, "left_chain", problem)
    return image, digest, header


def read_state(path: Path) -> tuple[Image, str]:
    """Return a file's image and its digest; raises StateRefused."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise StateRefused(path.name, "unreadable", f"{error.strerror}") from error
    return decode(body, path.name)


def check_label(image: Image, config: Config) -> None:
    """Raise StateRefused where an image is not of this edition, chain and venues."""
    ours = label_of(config, image.label.number, image.label.hash)
    for field, reason in (
        ("edition", "version"),
        ("chain_id", "foreign_chain"),
        ("venues", "foreign_venues"),
    ):
        its, own = getattr(image.label, field), getattr(ours, field)
        if its != own:
            raise StateRefused(image.source, reason, f"{field} {its}, ours is {own}")


def write_state(places: Places, found: Cut, label: Label) -> tuple[Path, str]:
    """Write a state file; return its path and digest. Raises StorageError, StateRefused."""
    parts, digest = encode(found, label)
    path = places.snapshots / f"{label.number}-{label.hash[2:18]}{SUFFIX}"
    put(path, parts)
    return path, digest


def put(path: Path, parts: Sequence[bytes | memoryview]) -> None:
    """Write a file aside, force it to the disk, and give it its name. Raises StorageError."""
    aside = path.with_name(path.name + ASIDE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name, too
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(str(path), f"cannot be written: {error.strerror}") from error


async def _block(reader: ChainReader, label: Label) -> Header | None:
    try:
        return await reader.header(label.number)
    except RpcError:
        return None  # the chain is shorter now


def _number(path: Path) -> tuple[int, str]:
    number = path.name.partition("-")[0]
    return (int(number) if number.isdecimal() else -1, path.name)
