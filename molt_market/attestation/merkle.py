"""A Merkle tree laid out like OpenZeppelin's StandardMerkleTree, so that a contract can verify its proofs.

Leaves are hashed twice, so that no inner node passes for a leaf; pairs are hashed in ascending order, so that
a proof need not say which side it comes from; leaves stand in ascending order, so that the root depends on
the set alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eth_utils import keccak

from molt_market.domain.ids import Hash32
from molt_market.errors import InvalidValue


class MerkleTree:
    """A tree over a set of digests.

    >>> digests = [Hash32(f"0x{number:064x}") for number in range(5)]
    >>> tree = MerkleTree(digests)
    >>> verify_inclusion(digests[3], tree.proof(digests[3]), tree.root)
    True
    """

    def __init__(self, digests: Iterable[Hash32]) -> None:
        leaves = sorted({_leaf(digest) for digest in digests}, reverse=True)
        if not leaves:
            raise InvalidValue("a Merkle tree needs at least one digest")
        # Node 0 is the root, the children of node i are 2i + 1 and 2i + 2, the leaves are the last nodes.
        inner = len(leaves) - 1
        self._nodes = [b""] * inner + leaves
        for node in reversed(range(inner)):
            self._nodes[node] = _pair(self._nodes[2 * node + 1], self._nodes[2 * node + 2])
        self._position = {leaf: inner + index for index, leaf in enumerate(leaves)}

    @property
    def root(self) -> Hash32:
        return Hash32.of(self._nodes[0])

    def proof(self, digest: Hash32) -> tuple[Hash32, ...]:
        """Return the siblings on a digest's way to the root. Raises InvalidValue if the tree lacks it."""
        node = self._position.get(_leaf(digest))
        if node is None:
            raise InvalidValue(f"digest {digest} is not in this tree")
        siblings = []
        while node > 0:
            siblings.append(Hash32.of(self._nodes[node - 1 if node % 2 == 0 else node + 1]))
            node = (node - 1) // 2
        return tuple(siblings)


def verify_inclusion(digest: Hash32, proof: Sequence[Hash32], root: Hash32) -> bool:
    """Tell whether `proof` leads from `digest` to `root`."""
    node = _leaf(digest)
    for sibling in proof:
        node = _pair(node, sibling.raw())
    return node == root.raw()


def _leaf(digest: Hash32) -> bytes:
    return keccak(keccak(digest.raw()))


def _pair(left: bytes, right: bytes) -> bytes:
    return keccak(min(left, right) + max(left, right))
