"""Which site a request comes from: the browser says so, and a page of another site cannot lie."""

import re
from collections.abc import Iterable
from typing import Final

OTHER_SITE: Final = "a page of another site may not do this"
"""What is said to whoever is refused for that."""

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@?#]+)(?::([0-9]{1,5}))?")
_OURS: Final = {b"same-origin", b"none"}


def same_origin(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Judge by a request's headers whether a page of ours, or no page at all, has made it.

    ``Origin`` must name the very host and port of ``Host``; so behind a proxy, that must pass
    ``Host`` on. Without ``Origin``, ``Sec-Fetch-Site`` decides; without both it was no browser
    that asks, or one of before 2020 on a request that changes nothing. Sibling domains are other
    sites. Serves WebSocket upgrades as well, for which browsers ask nobody else.

    Args:
        headers: names in lower case.
    """
    found: dict[bytes, list[bytes]] = {b"origin": [], b"host": [], b"sec-fetch-site": []}
    for name, value in headers:
        if name in found:
            found[name].append(value.strip())
    origins, hosts, fetches = found.values()
    if origins:
        return len(origins) == len(hosts) == 1 and _fits(origins[0], hosts[0])
    return all(fetch.lower() in _OURS for fetch in fetches)


def _fits(origin: bytes, host: bytes) -> bool:
    scheme, separator, authority = origin.decode("latin-1").lower().partition("://")
    theirs = _HOST.fullmatch(authority)
    ours = _HOST.fullmatch(host.decode("latin-1").lower())
    if not separator or scheme not in _PORTS or theirs is None or ours is None:
        return False
    default = _PORTS[scheme]
    # A Host without port was asked at the default one, of a scheme that only the proxy may know.
    return theirs[1] == ours[1] and int(theirs[2] or default) == int(ours[2] or default)
