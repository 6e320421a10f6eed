"""What avo's pages have in common: their files, a script's hash, and values handed to a script."""

import base64
import hashlib
import json
from importlib import resources
from typing import Any


def asset(package: str, name: str) -> str:
    """Read a file of a package, such as a page's style, without the last line's end."""
    return resources.files(package).joinpath(name).read_text("utf-8").rstrip()


def hashed(script: str) -> str:
    """Compute what a Content-Security-Policy calls a script that `inline` writes.

    Example:
        >>> hashed("1")[:7]
        'sha256-'
    """
    digest = hashlib.sha256(f"\n{script}\n".encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def inline(script: str, values: dict[str, Any]) -> str:
    """Write the elements of a script and its values; no "<" of these ends an element early.

    Example:
        >>> inline("go();", {"name": "</script>"}).splitlines()[0]
        '<script type="application/json" id="data">{"name":"\\\\u003c/script>"}</script>'
    """
    text = json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="data">{text}</script>\n<script>\n{script}\n</script>'
