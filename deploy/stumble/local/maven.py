"""Where Maven artifacts come from on this machine: the user's own settings, else Maven Central."""

from __future__ import annotations

import base64
import os
import urllib.request
import xml.etree.ElementTree as ET  # the user's own settings file
from dataclasses import dataclass, field
from http.client import HTTPResponse
from pathlib import Path

__all__ = ["MavenSource", "local_repository", "maven_central", "maven_source"]


@dataclass(frozen=True)
class MavenSource:
    """A repository's address, the headers that authorize requests, and its proxies (scheme → URL)."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    proxies: dict[str, str] = field(default_factory=dict)

    def open(self, path: str, *, timeout: float) -> HTTPResponse:
        """Request the file at `path` below :attr:`url`; raise OSError if it cannot be had.

        The proxy variables override Maven's settings. A redirection to another host does not get the headers.
        """
        proxies = {**self.proxies, **urllib.request.getproxies()}
        request = urllib.request.Request(f"{self.url}/{path}")  # noqa: S310  # the user's own settings
        for name, value in self.headers.items():
            request.add_unredirected_header(name, value)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
        reply: HTTPResponse = opener.open(request, timeout=timeout)
        return reply


def local_repository() -> Path:
    """Return the folder of the artifacts that Maven has fetched for this user."""
    return Path.home() / ".m2" / "repository"


def maven_source() -> MavenSource:
    """Return the repository to fetch from.

    First ``STUMBLE_MAVEN_REPOSITORY``; then the mirror of Maven Central in the user's ``~/.m2/settings.xml`` with
    its `server` credentials and the active proxy there; then Maven Central.
    """
    url = os.environ.get("STUMBLE_MAVEN_REPOSITORY", "")
    root = _parse(Path.home() / ".m2" / "settings.xml")
    proxies = _proxies(root) if root is not None else {}
    if url or root is None:
        return MavenSource((url or maven_central()).rstrip("/"), proxies=proxies)
    mirror = next((item for item in root.iter("mirror") if _mirrors_central(item.findtext("mirrorOf", ""))), None)
    if mirror is None:
        return MavenSource(maven_central(), proxies=proxies)
    headers = _credentials(root, mirror.findtext("id", ""))
    return MavenSource(mirror.findtext("url", "").strip().rstrip("/"), headers, proxies)


def maven_central() -> str:
    """Return the address of Maven Central."""
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415  # slow to import and needed once

    return str(MAVEN_CENTRAL_URL).rstrip("/")


def _parse(settings: Path) -> ET.Element | None:
    try:
        root = ET.fromstring(settings.read_text())  # noqa: S314  # the user's own file
    except (OSError, ET.ParseError):
        return None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _mirrors_central(mirror_of: str) -> bool:
    names = [name.strip() for name in mirror_of.split(",")]
    return "!central" not in names and any(name in {"*", "central", "external:*", "external:http:*"} for name in names)


def _credentials(root: ET.Element, server: str) -> dict[str, str]:
    for item in root.iter("server"):
        if item.findtext("id", "") == server and item.findtext("username"):
            pair = f"{item.findtext('username')}:{item.findtext('password', '')}"
            return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {}


def _proxies(root: ET.Element) -> dict[str, str]:
    for item in root.iter("proxy"):
        if item.findtext("active", "true").strip() == "true" and item.findtext("host"):
            user = item.findtext("username")
            login = f"{user}:{item.findtext('password', '')}@" if user else ""
            address = f"http://{login}{item.findtext('host')}:{item.findtext('port', '8080')}"
            return {"http": address, "https": address}
    return {}
