"""Reads config.toml and refuses whatever is not exactly right, naming key, value and cure.

Must not know what any room does with its parameters. `${NAME}` in a URL is taken from the
environment, so that a provider's key stands in no file; nowhere else is anything substituted.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from keeper.config.description import masked_value
from keeper.config.lanes import check_lanes
from keeper.config.sections import PROTOCOLS, Config
from keeper.domain.errors import ConfigError


FILE_BYTES_MAX: Final = 1024 * 1024

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_UNKNOWN: Final = ("unexpected_keyword_argument", "extra_forbidden")
_MISSING: Final = ("missing", "missing_argument")
_ADAPTER: Final = TypeAdapter(Config)


def load(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Return the checked configuration of a file; raises ConfigError."""
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        cure = f"cannot be read ({error.strerror}); name a config.toml with -c"
        raise ConfigError("config file", str(path), cure) from error
    if len(text) > FILE_BYTES_MAX:
        raise ConfigError("config file", str(path), f"keep it under {FILE_BYTES_MAX} bytes")
    try:
        document = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("config file", str(path), f"mend the TOML: {error}") from error
    return read(document, os.environ if environment is None else environment)


def read(document: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Return the checked configuration of a parsed document; raises ConfigError."""
    expanded = _expand((), _with_protocols(document), environment)
    try:
        # Through JSON, because that is where strict means: a TOML array is a tuple, 1 is not "1".
        plain = json.dumps(expanded, default=_no_dates)
        config = _ADAPTER.validate_json(plain, strict=True)
    except ConfigError as error:
        raise _placed(error, expanded) from error
    except ValidationError as error:
        raise _first(error.errors(include_url=False)) from None
    _never_negative((), config)
    _together(config)
    return config


def _with_protocols(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with each venue's `protocol` checked, taken out, and its name put in."""
    venues = document.get("venues")
    if not isinstance(venues, dict):
        return dict(document)
    named = {}
    for name, table in venues.items():
        key = f"venues.{name}.protocol"
        if not isinstance(table, dict):
            raise ConfigError(f"venues.{name}", table, "make it a table: [venues.<name>]")
        protocol = table.get("protocol")
        if not isinstance(protocol, str) or protocol not in PROTOCOLS:
            raise ConfigError(key, protocol, f"use one of: {', '.join(PROTOCOLS)}")
        if "name" in table:
            cure = "leave it out, the table's own name is the venue's"
            raise ConfigError(f"venues.{name}.name", table["name"], cure)
        rest = {k: v for k, v in table.items() if k != "protocol"}
        named[name] = {**rest, "name": name}
    return {**document, "venues": named}


def _expand(path: tuple[str, ...], value: Any, environment: Mapping[str, str]) -> Any:
    """Return the value with ${NAME} replaced in every URL."""
    if isinstance(value, dict):
        return {k: _expand((*path, str(k)), v, environment) for k, v in value.items()}
    if isinstance(value, list):
        return [_expand(path, each, environment) for each in value]
    if not isinstance(value, str) or not path or not path[-1].endswith(("_url", "_urls")):
        return value

    def of_environment(match: re.Match[str]) -> str:
        name = match.group(1)
        if not environment.get(name):
            cure = f"set the environment variable {name}"
            raise ConfigError(".".join(path), f"${{{name}}}", cure)
        return environment[name]

    return _REFERENCE.sub(of_environment, value)


def _no_dates(value: object) -> object:
    cure = "quote it: dates and times are not used here"
    raise ConfigError("config file", str(value), cure)


def _first(errors: list[ErrorDetails]) -> ConfigError:
    """Return the error to show: an unknown key explains a missing one, so it goes first."""
    ranked = sorted(errors, key=lambda each: each["type"] not in _UNKNOWN)
    error = ranked[0]
    keys = _keys(error["loc"])
    key = _dotted(keys)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if error["type"] in _UNKNOWN:
        return ConfigError(key, masked_value(keys, error["input"]), _nearest(keys) + more)
    if error["type"] in _MISSING:
        return ConfigError(key, None, f"add it, it has no default{more}")
    said = error["msg"].removeprefix("Value error, ")
    if key.endswith(("_url", "_urls")) or "_urls[" in key:
        said = "use a ws:// or wss:// URL to watch, http(s):// or ws(s):// elsewhere"
    if key.endswith(".remote_signer_url"):
        said = "use an https:// URL, or http:// on this host"
    return ConfigError(key, masked_value(keys, error["input"]), said + more)


def _keys(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the location without the marks that pydantic adds for dictionary keys and unions."""
    return tuple(each for each in loc if isinstance(each, int) or re.fullmatch(r"[\w-]+", each))


def _dotted(keys: tuple[int | str, ...]) -> str:
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.lstrip(".") or "config file"


def _nearest(keys: tuple[int | str, ...]) -> str:
    """Return the cure for an unknown key: the known one that looks most like it."""
    known = _known(Config, keys[:-1])
    close = difflib.get_close_matches(str(keys[-1]), known, n=1, cutoff=0.5)
    if close:
        return f"unknown key; did you mean {close[0]!r}?"
    return f"unknown key; known here: {', '.join(sorted(known))}"


def _known(kind: Any, keys: tuple[int | str, ...]) -> list[str]:
    """Return the names that may stand in the table at `keys`."""
    if not is_dataclass(kind):
        # A dictionary or tuple of sections: the last of its type arguments is the section.
        parts = [each for each in get_args(kind) if is_dataclass(each)]
        return _known(parts[-1], keys[1:]) if parts and keys else []
    names = [each.name for each in fields(kind)]
    if not keys:
        return [*names, "protocol"] if kind in PROTOCOLS.values() else names
    hints = get_type_hints(kind)
    return _known(hints[keys[0]], keys[1:]) if keys[0] in hints else []


def _placed(error: ConfigError, document: Mapping[str, Any]) -> ConfigError:
    """Return a room's own ConfigError, which names a field, with the path of its table."""
    key = error.key.split(".")[-1]
    for section, name in _tables(document):
        given = section.get(key)
        value = list(error.value) if isinstance(error.value, tuple) else error.value
        if given == value or (isinstance(given, list) and value in given):
            return ConfigError(f"{name}.{key}", masked_value((key,), value), error.cure)
    return error


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    for name, table in document.items():
        if name == "venues":
            yield from ((each, f"venues.{venue}") for venue, each in table.items())
        elif isinstance(table, dict):
            yield table, name


def _never_negative(path: tuple[str, ...], value: Any) -> None:
    """Raise ConfigError for a negative amount: there is no parameter that may be one."""
    if is_dataclass(value):
        for each in fields(value):
            _never_negative((*path, each.name), getattr(value, each.name))
    elif isinstance(value, dict) and path[:2] != ("strategy", "parameters"):
        for key, each in value.items():
            _never_negative((*path, str(key)), each)
    elif isinstance(value, int | float) and not 0 <= value < float("inf"):
        raise ConfigError(".".join(path), value, "use a finite number, zero or more")


def _together(config: Config) -> None:
    """Raise ConfigError for sections that are right alone and wrong together."""
    if not config.venues:
        raise ConfigError("venues", {}, "add a table [venues.<name>] to watch")
    if config.keeper.mode == "live" and not config.lanes:
        raise ConfigError("lanes", [], 'mode "live" sends: add [[lanes]] with a key_file')
    backup = config.keeper.role == "backup"
    if backup != (config.keeper.act_after_blocks > 0):
        cure = 'role "backup" waits 1 block or more, "primary" 0'
        raise ConfigError("keeper.act_after_blocks", config.keeper.act_after_blocks, cure)
    sends = config.chain.send_urls or any("send" in e.roles for e in config.chain.endpoints)
    if config.keeper.mode == "live" and not sends:
        cure = 'mode "live" sends: name at least one endpoint to send to'
        raise ConfigError("chain.send_urls", [], cure)
    check_lanes(config.lanes)
    if config.journal.file_bytes_max > config.journal.total_bytes_max:
        cure = "keep it at or under journal.total_bytes_max"
        raise ConfigError("journal.file_bytes_max", config.journal.file_bytes_max, cure)
    soft, hard = config.telemetry.memory_soft_bytes, config.telemetry.memory_hard_bytes
    if 0 < hard < soft:
        cure = "keep it at or under telemetry.memory_hard_bytes"
        raise ConfigError("telemetry.memory_soft_bytes", soft, cure)
    if config.fees.tip_wei_min > config.fees.tip_wei_max:
        cure = "keep it at or under fees.tip_wei_max"
        raise ConfigError("fees.tip_wei_min", config.fees.tip_wei_min, cure)
