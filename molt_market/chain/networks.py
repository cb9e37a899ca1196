"""The chains that a deployment can live on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from molt_market.config import settings
from molt_market.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Network:
    """A chain, the address of a node if it has a usual one, and how many blocks on top make a block count.

    `confirmations` 0 means that to be mined is enough.

    >>> Network.LOCAL.rpc_url
    'http://127.0.0.1:8545'
    """

    name: str
    chain_id: int
    rpc_url: str | None = None
    confirmations: int = 0

    LOCAL: ClassVar[Network]
    MAINNET: ClassVar[Network]
    SEPOLIA: ClassVar[Network]
    BASE_SEPOLIA: ClassVar[Network]
    ARBITRUM_SEPOLIA: ClassVar[Network]

    def __post_init__(self) -> None:
        if type(self.chain_id) is not int or self.chain_id < 1:
            raise InvalidValue(f"chain id {self.chain_id!r}: give a whole number above 0, e.g. 31337")
        if type(self.confirmations) is not int or self.confirmations < 0:
            raise InvalidValue(f"{self.confirmations!r} confirmations: give a whole number of 0 or more")

    @classmethod
    def named(cls, name: str) -> Network:
        """Return a known network by its name, or any by its chain id. Raises InvalidValue, which lists them.

        Of a chain that is not known to be mined is enough; `custom` waits for more.

        >>> Network.named("sepolia").chain_id
        11155111
        >>> Network.named("4242").name
        'chain-4242'
        """
        if name.isascii() and name.isdecimal():
            return cls.numbered(int(name)) or cls(f"chain-{int(name)}", int(name))
        known = {each.name: each for each in _KNOWN}
        if name not in known:
            raise InvalidValue(f"no network {name!r}: choose one of {', '.join(known)}, or give a chain id")
        return known[name]

    @classmethod
    def numbered(cls, chain_id: int) -> Network | None:
        """Return the known network of a chain id, if there is one.

        >>> Network.numbered(84532).name
        'base-sepolia'
        """
        return next((each for each in _KNOWN if each.chain_id == chain_id), None)

    @classmethod
    def custom(cls, chain_id: int, rpc_url: str, *, confirmations: int = 0) -> Network:
        """Name a chain that is not among the known ones."""
        return cls(f"chain-{chain_id}", chain_id, rpc_url, confirmations)

    def node_address(self, given: str | None = None) -> str:
        """Return the address of a node: the one given, else the network's own, else MOLT_RPC_URL.

        Raises:
            InvalidValue: there is none of these.
        """
        address = given or self.rpc_url or settings().rpc_url
        if address is None:
            raise InvalidValue(
                f"network {self.name} has no node of its own: give rpc_url, or set MOLT_RPC_URL"
            )
        return address


Network.LOCAL = Network("local", 31_337, "http://127.0.0.1:8545")
Network.MAINNET = Network("mainnet", 1, confirmations=12)
Network.SEPOLIA = Network("sepolia", 11_155_111, confirmations=3)
Network.BASE_SEPOLIA = Network("base-sepolia", 84_532, confirmations=10)  # blocks of two seconds
Network.ARBITRUM_SEPOLIA = Network("arbitrum-sepolia", 421_614, confirmations=40)  # four blocks a second
_KNOWN = (
    Network.LOCAL,
    Network.MAINNET,
    Network.SEPOLIA,
    Network.BASE_SEPOLIA,
    Network.ARBITRUM_SEPOLIA,
)
