"""Secrets from files: what may be read at all, and as whose.

A plain path must be a plain file of ours that nobody else can read. `credential:NAME` is a file of
the folder that systemd made for this service (LoadCredential), `mounted:PATH` one of a secret that
Kubernetes mounted: both belong to root, may be readable by our group, and the second is a link
within its own folder. Errors name files, never what is in them. It must not know keys.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.domain.errors import KeyFileError


CREDENTIAL: Final = "credential:"
MOUNTED: Final = "mounted:"
_FILE_BYTES_MAX: Final = 65_536
_KEY_LIKE: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}", re.ASCII)


def read_secret(reference: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the text a reference names; raises KeyFileError where it may not be read."""
    if _KEY_LIKE.fullmatch(reference):
        cure = "name a file, and hold what stood in the name's place for stolen"
        raise KeyFileError("***", "is a key and no file's name", cure)
    if reference.startswith(CREDENTIAL):
        return _read_credential(reference, os.environ if environment is None else environment)
    if reference.startswith(MOUNTED):
        return _read_mounted(Path(reference.removeprefix(MOUNTED)))
    return read_secret_file(Path(reference))


def read_secret_file(path: Path) -> str:
    """Return a secret file's text; raises KeyFileError unless it is ours alone and no link."""
    return _read(path, str(path), _OURS)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Who may own the file, and which mode bits must be clear."""

    root_may_own: bool
    forbidden_mode: int


_OURS: Final = _Rule(root_may_own=False, forbidden_mode=0o077)
# The service manager owns what it hands over; its access list shows as a readable group.
_HANDED: Final = _Rule(root_may_own=True, forbidden_mode=0o037)


def _read_credential(reference: str, environment: Mapping[str, str]) -> str:
    name = reference.removeprefix(CREDENTIAL)
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        cure = f"run under systemd with LoadCredential={name}:..."
        raise KeyFileError(reference, "there is no credentials directory", cure)
    if not name or "/" in name or name in (".", ".."):
        raise KeyFileError(reference, "is not a credential's name", "write credential:NAME")
    return _read(Path(folder) / name, reference, _HANDED)


def _read_mounted(path: Path) -> str:
    """Follow the links of a mounted secret, but not out of its folder."""
    folder = path.parent.resolve()
    target = path.resolve()
    if not target.is_relative_to(folder):
        raise KeyFileError(str(path), "points out of its folder", "name the mounted file itself")
    return _read(target, str(path), _HANDED)


def _read(path: Path, name: str, rule: _Rule) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise KeyFileError(name, "is a symbolic link", "name the file itself") from None
        problem = (error.strerror or "cannot be opened").lower()
        raise KeyFileError(name, problem, "name a file this process can read") from None
    try:
        _check(os.fstat(file), name, rule)
        return os.read(file, _FILE_BYTES_MAX).decode("utf-8")
    except UnicodeDecodeError:
        raise KeyFileError(name, "is not text", "write a keystore or 64 hex digits") from None
    finally:
        os.close(file)


def _check(status: os.stat_result, name: str, rule: _Rule) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(name, "is not a plain file", "name a plain file")
    ours = os.geteuid()
    if status.st_uid != ours and not (rule.root_may_own and status.st_uid == 0):
        raise KeyFileError(name, f"belongs to user {status.st_uid}", f"chown {ours} {name}")
    if status.st_mode & rule.forbidden_mode:
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileError(name, f"others may read it (mode {mode:04o})", f"chmod 600 {name}")
