"""Usage logs that the chain can check: proofs against OpenZeppelin's MerkleProof."""

import random

from web3 import Web3
from web3.contract import Contract

from molt_market.attestation.merkle import MerkleTree, verify_inclusion
from molt_market.domain.ids import Hash32
from tests.parity.samples import call_many


def test_proofs(chain: Web3, hashes: Contract) -> None:
    """Every leaf of trees of 1 to 20 verifies on both sides; a foreign leaf, root or sibling on neither."""
    rng = random.Random(13)
    cases = []
    for size in range(1, 21):
        members = [Hash32.of(rng.randbytes(32)) for _ in range(size)]
        tree = MerkleTree(members)
        for member in members:
            proof = tree.proof(member)
            cases.append((proof, tree.root, member))
            cases.append((proof, tree.root, Hash32.of(rng.randbytes(32))))
            cases.append((proof, Hash32.of(rng.randbytes(32)), member))
            cases.append(((*proof, tree.root), tree.root, member))
    ours = [verify_inclusion(member, proof, root) for proof, root, member in cases]
    assert ours == call_many(chain, [hashes.functions.inTree(*case) for case in cases])
    assert ours == [True, False, False, False] * (len(cases) // 4)
