"""URLs with a user and a password, for HTTP clients."""

from __future__ import annotations

from urllib.parse import unquote


def split_user(url: str) -> tuple[str, tuple[str, str] | None]:
    """Return a URL without user and password, and these, or None.

    They reach to the last ``@``: a password may contain ``/``, which the parser of a client takes for the end of the
    host, and shows in its error.
    """
    scheme, separator, rest = url.partition("://")
    userinfo, at, host = rest.rpartition("@")
    if not at:
        return url, None
    user, _, password = userinfo.partition(":")
    return f"{scheme}{separator}{host}", (unquote(user), unquote(password))
