"""Lanes of the configuration: exactly one kind of key each, every mistake with key, value, cure.

Must not know files or keys: it looks at names only, and never repeats a value that may be a key.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from keeper.config.description import masked_value
from keeper.config.sections import LaneSection
from keeper.domain.errors import ConfigError


# What says where a lane's key is, and what else may then be said.
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "key_file": ("password_file",),
    "remote_signer_url": ("address", "remote_signer_token_file"),
    "kms_key_id": ("address", "kms_region"),
}
_HERE: Final = ("127.0.0.1", "::1", "localhost")
_FILES: Final = ("key_file", "password_file", "remote_signer_token_file")


def check_lanes(lanes: Sequence[LaneSection]) -> None:
    """Raise ConfigError where a lane's key is not said in exactly one way, or said twice."""
    for number, lane in enumerate(lanes):
        kinds = [kind for kind in KINDS if getattr(lane, kind) is not None]
        if len(kinds) != 1:
            cure = f"say where the key is, in exactly one way: {', '.join(KINDS)}"
            raise ConfigError(f"lanes[{number}]", kinds, cure)
        _check(number, lane, kinds[0])
    for name in ("key_file", "kms_key_id", "address"):
        said = [getattr(lane, name) for lane in lanes]
        for number, value in enumerate(said):
            if value is not None and value in said[:number]:
                cure = "give each lane its own key"
                raise ConfigError(f"lanes[{number}].{name}", value, cure)


def key_name(number: int, lane: LaneSection) -> str:
    """Return the configuration key that says where a lane's key is, as errors name it."""
    kind = next(kind for kind in KINDS if getattr(lane, kind) is not None)
    return f"lanes[{number}].{kind}"


def _check(number: int, lane: LaneSection, kind: str) -> None:
    at = f"lanes[{number}]"
    for other, more in KINDS.items():
        for name in more:
            if getattr(lane, name) is not None and name not in KINDS[kind]:
                shown = masked_value((name,), getattr(lane, name))
                raise ConfigError(f"{at}.{name}", shown, f"belongs to {other}, not to {kind}")
    if "address" in KINDS[kind] and lane.address is None:
        cure = "add the lane's address: what comes back is held to it"
        raise ConfigError(f"{at}.address", None, cure)
    for name in _FILES:
        value = getattr(lane, name)
        if value is not None and masked_value((name,), value) != value:
            cure = "name a file; what stands here looks like a key, so hold it for stolen"
            raise ConfigError(f"{at}.{name}", masked_value((name,), value), cure)
    url = urlsplit(lane.remote_signer_url or "")
    if url.scheme == "http" and url.hostname not in _HERE:
        shown = masked_value(("remote_signer_url",), lane.remote_signer_url)
        cure = "use https: over plain http anybody on the way can ask it to sign"
        raise ConfigError(f"{at}.remote_signer_url", shown, cure)
