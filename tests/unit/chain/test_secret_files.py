"""Which files secrets are read from: ours alone, a service manager's, a mounted secret's."""

import os
from pathlib import Path

import pytest

from keeper.chain.keys.secret_files import read_secret
from keeper.domain.errors import KeyFileError


def write(path: Path, mode: int = 0o600, text: str = "s3cret") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


# systemd's LoadCredential -------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600])
def test_a_credential_is_read_from_the_service_managers_folder(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "lane", mode)
    assert read_secret("credential:lane", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "s3cret"


@pytest.mark.parametrize(
    ("reference", "environment", "problem"),
    [
        ("credential:lane", {}, "no credentials directory; run under systemd with LoadCredential"),
        ("credential:lane", {"CREDENTIALS_DIRECTORY": ""}, "no credentials directory"),
        ("credential:", {"CREDENTIALS_DIRECTORY": "."}, "not a credential's name"),
        ("credential:..", {"CREDENTIALS_DIRECTORY": "."}, "not a credential's name"),
        ("credential:../etc/shadow", {"CREDENTIALS_DIRECTORY": "."}, "not a credential's name"),
        ("credential:nowhere", {"CREDENTIALS_DIRECTORY": "."}, "no such file"),
    ],
)
def test_a_credential_that_is_not_there_or_no_name_is_refused(
    reference: str, environment: dict[str, str], problem: str
) -> None:
    with pytest.raises(KeyFileError, match=problem):
        read_secret(reference, environment)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o460, 0o470])
def test_row_37_a_credential_that_all_may_read_or_others_may_write_is_refused(
    tmp_path: Path, mode: int
) -> None:
    write(tmp_path / "lane", mode)
    with pytest.raises(KeyFileError, match="others may read it"):
        read_secret("credential:lane", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_row_37_a_credential_that_is_a_link_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "lane")
    (tmp_path / "lane").symlink_to(tmp_path / "elsewhere" / "lane")
    with pytest.raises(KeyFileError, match="symbolic link"):
        read_secret("credential:lane", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


# Kubernetes secrets -------------------------------------------------------------------------------


def mounted(folder: Path, mode: int = 0o440) -> Path:
    """Lay a secret out as the kubelet does: name → ..data/name, ..data → a dated folder."""
    write(folder / "..2026_11_21" / "lane", mode)
    (folder / "..data").symlink_to("..2026_11_21")
    (folder / "lane").symlink_to("..data/lane")
    return folder / "lane"


def test_a_mounted_secret_is_read_through_the_kubelets_links(tmp_path: Path) -> None:
    assert read_secret(f"mounted:{mounted(tmp_path)}") == "s3cret"


def test_row_37_a_mounted_secret_that_points_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "lane", 0o400)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "lane").symlink_to(tmp_path / "elsewhere" / "lane")
    with pytest.raises(KeyFileError, match="points out of its folder"):
        read_secret(f"mounted:{tmp_path / 'secret' / 'lane'}")


def test_row_37_a_mounted_secret_that_all_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="others may read it"):
        read_secret(f"mounted:{mounted(tmp_path, 0o444)}")


# Owners -------------------------------------------------------------------------------------------


def test_row_37_only_what_is_handed_over_may_be_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a service's own user: what root owns is a credential, and nothing else is."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of root's")
    plain = write(tmp_path / "lane", 0o400)
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    with pytest.raises(KeyFileError, match="belongs to user 0; chown 1000"):
        read_secret(str(plain))
    assert read_secret("credential:lane", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "s3cret"
    os.chown(plain, 1_001, -1)
    for reference in (str(plain), "credential:lane", f"mounted:{plain}"):
        with pytest.raises(KeyFileError, match="belongs to user 1001"):
            read_secret(reference, {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_pipe_in_a_keys_place_does_not_hang_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(KeyFileError, match="not a plain file"):
        read_secret(str(tmp_path / "key"))


@pytest.mark.parametrize("pasted", ["ab" * 32, "0x" + "AB" * 32])
def test_row_37_a_key_in_a_files_place_is_refused_and_never_repeated(pasted: str) -> None:
    with pytest.raises(KeyFileError, match="hold what stood in the name's place") as caught:
        read_secret(pasted)
    assert pasted not in str(caught.value)
