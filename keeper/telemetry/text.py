"""Text from outside made harmless, and secrets kept out of what we print.

Revert strings, node errors and symbols are written by strangers: a line break forges a log line, an
escape sequence repaints a terminal, a bidirectional mark turns a sentence around.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import urlsplit


TEXT_BYTES_MAX: Final = 256
MASK: Final = "***"

_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.IGNORECASE)
# Unicode categories that draw nothing but act: controls, formats (bidi, zero width), surrogates,
# private use, unassigned, line and paragraph separators.
_ACTING: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str) -> str:
    """Return the text without characters that act, URLs masked, at most 256 bytes of UTF-8."""
    # Cut first: nobody gets to make us look at a megabyte.
    short = text[: 4 * TEXT_BYTES_MAX]
    if not short.isascii() or not short.isprintable():
        short = "".join(c if unicodedata.category(c) not in _ACTING else "\ufffd" for c in short)
    masked = _URL.sub(lambda match: mask_url(match.group()), short)
    encoded = masked.encode()
    if len(encoded) <= TEXT_BYTES_MAX and len(text) <= 4 * TEXT_BYTES_MAX:
        return masked
    return encoded[: TEXT_BYTES_MAX - 3].decode(errors="ignore") + "..."


def mask_url(url: str) -> str:
    """Return scheme, host and port of a URL; user, password, path and query are "***".

    Providers put their keys into any of those.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return MASK
    shown = f"[{host}]" if ":" in host else host
    user = f"{MASK}@" if "@" in parts.netloc else ""
    rest = f"/{MASK}" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{user}{shown}{f':{port}' if port is not None else ''}{rest}"
