"""Snapshot files: whole or refused."""

from pathlib import Path

import pytest

from keeper.app.state.snapshots import restore, store
from keeper.domain.errors import MalformedRecord, StorageError


DOCUMENT = {"number": 1, "hash": "0x00", "venues": {}}


def test_a_file_comes_back_and_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "snapshot.json"
    store(path, {"older": True})
    digest = store(path, DOCUMENT)

    assert restore(path, digest) == DOCUMENT
    assert [each.name for each in path.parent.iterdir()] == ["snapshot.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"number": 2}'])
def test_a_file_that_is_not_the_one_named_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "snapshot.json"
    digest = store(path, DOCUMENT)
    path.write_bytes(content)

    with pytest.raises(MalformedRecord, match="sha256"):
        restore(path, digest)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="absent"):
        restore(tmp_path / "absent.json", "0" * 64)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        store(tmp_path / "file" / "snapshot.json", {})
