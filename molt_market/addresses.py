"""Where others may have this process connect to: an address that they name is looked at first."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx

GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


class NotPublic(Exception):
    """A host has an address of this machine, or of its own network."""


async def address_of(url: httpx.URL, *, private: bool) -> str:
    """Return the first address of a URL's host; all of them have to be public, unless others are allowed.

    Connect to what is returned: asked again, a name may have another address.

    Raises:
        NotPublic: one of them is not. OSError: the name has no address.
    """
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not private and not all(is_public(each) for each in addresses):
        raise NotPublic
    return addresses[0]


def is_public(address: str) -> bool:
    """Tell whether an address is one of the whole network's."""
    read = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(read, ipaddress.IPv6Address):
        if read.ipv4_mapped is None:  # what carries another address inside may lead to a private one
            return read in GLOBAL_UNICAST and read.is_global and read.sixtofour is None
        read = read.ipv4_mapped
    return read.is_global and not read.is_multicast
