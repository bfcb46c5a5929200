"""The configuration as it may be shown: every value that is in effect, every secret masked.

Must not know files. The digest is taken of what is shown, so it holds no secret either.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any, Final

from keeper.config.sections import Config
from keeper.telemetry.text import MASK, mask_url


_SECRET: Final = re.compile(
    r"private|secret|passw|passphrase|mnemonic|seed|token|api_?key", re.IGNORECASE
)
# A bare key someone pasted where a file name belongs: 32 bytes of hex.
_KEY_LIKE: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}", re.ASCII)
# What is as long as a key, and public: leaving it out would leave it out of the digest too.
_HASH_NAMES: Final = ("genesis_hash", "price_id")


def describe(config: Config) -> list[str]:
    """Return one line a value in effect, `key.path = value`, for `keeper check`."""
    return [f"{key} = {json.dumps(value)}" for key, value in _flat("", masked(config))]


def masked(config: Config) -> dict[str, Any]:
    """Return the configuration as plain values with URLs cut to their host and secrets masked."""
    shown: dict[str, Any] = _plain((), config)
    return shown


def config_digest(config: Config) -> str:
    """Return sha256 (hex) of the masked configuration: the journal's first entry names it."""
    text = json.dumps(masked(config), sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()


def masked_value(keys: tuple[int | str, ...], value: Any) -> Any:
    """Return a value as an error may show it, by the name of its key and by its looks."""
    names = [key for key in keys if isinstance(key, str)]
    name = names[-1] if names else ""
    if isinstance(value, dict):
        return {key: masked_value((*keys, str(key)), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [masked_value(keys, each) for each in value]
    if not isinstance(value, str):
        return value
    if _SECRET.search(name) and not name.endswith("_file"):
        return MASK
    if looks_like_key(value) and name not in _HASH_NAMES:
        return MASK
    return mask_url(value) if "://" in value else value


def looks_like_key(text: str) -> bool:
    """Tell whether a text is 32 bytes of hex, as somebody would paste a private key."""
    return _KEY_LIKE.fullmatch(text) is not None


def _plain(keys: tuple[str, ...], value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain((*keys, f.name), getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain((*keys, str(key)), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(keys, each) for each in value]
    return masked_value(keys, value)


def _flat(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(f"{path}.{key}" if path else key, each)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            yield from _flat(f"{path}[{number}]", each)
    else:
        yield path, value
