"""Whom a request is from, and whether it comes from the person at this computer: told here, for page and API alike.

What the gate finds out travels on in two headers of its own, which nobody outside can set.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import gradio as gr

from qinsight.hosts import loopback

Scope = MutableMapping[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# where a Space's proxies are
INSIDE = tuple(
    ipaddress.ip_network(one)
    for one in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "fc00::/7",
        "::1/128",
    )
)
ADDRESS, LOCAL = b"x-qinsight-address", b"x-qinsight-local"  # told by the gate
# a proxy may add any of these; no browser on this computer does
FORWARDING = re.compile(
    rb"forwarded(-.*)?|via|x-forwarded.*|x-real-ip|x-(original|client|cluster|remote|envoy|proxy|appengine|vercel|azure)"
    rb"[-a-z]*|(true|cf|fastly|fly)-[-a-z]*|client-ip|cdn-loop|x-scheme|x-arr-.*|x-amzn?-.*|x-ip-token"
)


@dataclass(frozen=True)
class Visitors:
    """Tells visitors apart, and knows the one at this computer.

    `trusted` are the proxies whose X-Forwarded-For counts; with `on_spaces` whatever is inside Hugging Face's
    network, and where a GPU is `lent` there, the token of its proxy. `token` is what a request of this computer must carry, None where nobody's is local.
    """

    trusted: tuple[Network, ...] = ()
    on_spaces: bool = False
    token: str | None = None
    lent: bool = False

    def stamp(self, scope: Scope) -> None:
        """Write into the request's headers what is known about its visitor, in place of what it says itself."""
        kept = [one for one in scope["headers"] if one[0].lower() not in (ADDRESS, LOCAL)]
        found = [(ADDRESS, self.address(scope).encode())]
        if self.is_local(scope):
            found.append((LOCAL, b"yes"))
        scope["headers"] = [*kept, *found]

    def address(self, scope: Scope) -> str:
        """Where the visitor comes from; empty for this computer, or where it is not known."""
        headers = scope["headers"]
        if self.lent and (token := _first(headers, b"x-ip-token")):
            return "token:" + _bearer(token)
        peer = _parsed((scope.get("client") or ("",))[0])
        if peer is None:
            return ""
        if not self._is_proxy(peer):
            return _group(peer)
        for said in reversed(_forwarded_for(headers)):
            address = _parsed(said)
            if address is None:  # what stands further left may be anybody's
                break
            if not self._is_proxy(address):
                return _group(address)
        return _group(peer)

    def _is_proxy(self, address: Address) -> bool:
        known = (*self.trusted, *INSIDE) if self.on_spaces else self.trusted
        return any(address in network for network in known)

    def is_local(self, scope: Scope) -> bool:
        """Whether the person at this computer asks: with the token, from here, through nobody."""
        headers = scope["headers"]
        peer = _parsed((scope.get("client") or ("",))[0])
        if self.token is None or self.on_spaces or peer is None or not peer.is_loopback:
            return False
        if any(FORWARDING.fullmatch(name.lower()) for name, _ in headers):
            return False
        if not loopback(host_name(_first(headers, b"host") or "")):
            return False
        return any(hmac.compare_digest(one.encode(), self.token.encode()) for one in self._tokens(scope))

    def _tokens(self, scope: Scope) -> list[str]:
        """What the request carries as a token: in its address, or in the cookie that the page once gave it."""
        said = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        cookies: SimpleCookie = SimpleCookie()
        for name, value in scope["headers"]:
            if name.lower() == b"cookie":
                try:
                    cookies.load(value.decode("latin-1"))
                except CookieError:
                    continue
        kept = cookies.get(_cookie_name(scope))
        return [*said, *([kept.value] if kept else [])]

    def cookie(self, scope: Scope) -> bytes | None:
        """What the browser is to keep, for a page that was opened with the token in its address."""
        if self.token is None or b"token=" not in scope.get("query_string", b"") or not self.is_local(scope):
            return None
        return f"{_cookie_name(scope)}={self.token}; Path=/; HttpOnly; SameSite=Strict".encode()


def trusted(given: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks such as 10.0.0.5 and 10.0.0.0/8; `ValueError` with a sentence for anything else."""
    found = []
    for text in given:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise ValueError(f"expected an address or a network such as 10.0.0.0/8, got {text!r}") from None
    return tuple(found)


def address_of(request: gr.Request) -> str:
    """Where a visitor comes from; empty for this computer, on which all visitors of a proxy seem to sit."""
    told = _header(request, ADDRESS)
    if told is not None:
        return told
    host = request.client.host if request.client else ""
    return "" if loopback(host) else host


def is_local(request: gr.Request) -> bool:
    """Whether the person at this computer asks, as the gate found out."""
    return _header(request, LOCAL) == "yes"


def host_name(header: str) -> str:
    """`example.org` of `Example.org:7860`, `::1` of `[::1]:7860`."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def _header(request: gr.Request, name: bytes) -> str | None:
    headers = getattr(request, "headers", None) or {}
    found = headers.get(name.decode())
    return found if isinstance(found, str) else None


def _first(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


def _cookie_name(scope: Scope) -> str:
    """A browser's cookies are of a host, whatever the port: two pages of one computer keep apart."""
    port = (_first(scope["headers"], b"host") or "").rpartition(":")[2]
    return f"qinsight-local-{port if port.isdecimal() else '80'}"


def _forwarded_for(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    lines = [value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"]
    return [one for line in lines for one in line.split(",")]


def _parsed(said: str) -> Address | None:
    """The address in what a proxy says: with a port, in brackets or quotes, IPv4 in IPv6's clothes."""
    text = said.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _group(address: Address) -> str:
    """One visitor's name: of IPv6 the network that a household has to itself."""
    if address.is_loopback:
        return ""
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _bearer(token: str) -> str:
    """Whose token it is: a new one comes every few minutes, its claims but for the times stay."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        told = {name: claims[name] for name in sorted(claims) if name not in ("exp", "iat", "nbf", "jti")}
        text = json.dumps(told) if told else token
    except (IndexError, ValueError, TypeError, AttributeError):
        text = token
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
