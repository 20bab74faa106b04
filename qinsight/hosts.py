"""Which host is this computer itself."""

import ipaddress


def loopback(host: str) -> bool:
    """Whether the name or address of a host is this computer's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761
