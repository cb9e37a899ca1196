import pytest
from hypothesis import given
from hypothesis import strategies as st

from molt_market.attestation.merkle import MerkleTree, verify_inclusion
from molt_market.domain.ids import Hash32
from molt_market.errors import InvalidValue

digests = st.binary(min_size=32, max_size=32).map(Hash32.of)
sets = st.lists(digests, min_size=1, max_size=40, unique=True)


def numbered(count: int) -> list[Hash32]:
    return [Hash32(f"0x{number:064x}") for number in range(1, count + 1)]


# What @openzeppelin/merkle-tree 1.0.8 makes of the same digests.
OPENZEPPELIN_ROOTS = {
    1: "0xb5d9d894133a730aa651ef62d26b0ffa846233c74177a591a4a896adfda97d22",
    2: "0xe685571b7e25a4a0391fb8daa09dc8d3fbb3382504525f89a2334fbbf8f8e92c",
    3: "0x6115218373392d12cc18a3d50ad2a53a2c99b391060070dfc0ebbbbe158ec944",
    5: "0x21abd2f655ded75d91fbd5e0b1ad35171a675fd315a077efa7f2d555a26e7094",
    7: "0x30bdc5af9506c48acd14f3c4abaed9c8f2c530174653a20624cff023bd0a7d45",
}


@pytest.mark.parametrize(("count", "root"), OPENZEPPELIN_ROOTS.items())
def test_root__is_openzeppelins(count: int, root: str) -> None:
    assert MerkleTree(numbered(count)).root == root


def test_proof__is_openzeppelins() -> None:
    assert MerkleTree(numbered(5)).proof(numbered(5)[2]) == (
        "0xb5d9d894133a730aa651ef62d26b0ffa846233c74177a591a4a896adfda97d22",
        "0xc949c2dc5da2bd9a4f5ae27532dfbb3551487bed50825cd099ff5d0a8d613ab5",
    )


@given(sets)
def test_proof__of_every_member__verifies(members: list[Hash32]) -> None:
    tree = MerkleTree(members)
    assert all(verify_inclusion(member, tree.proof(member), tree.root) for member in members)


@given(sets, digests)
def test_proof__of_a_stranger__is_refused(members: list[Hash32], stranger: Hash32) -> None:
    if stranger not in members:
        with pytest.raises(InvalidValue, match="not in this tree"):
            MerkleTree(members).proof(stranger)


@given(sets, st.data())
def test_verify_inclusion__of_another_digest_or_a_cut_proof__fails(
    members: list[Hash32], data: st.DataObject
) -> None:
    tree = MerkleTree(members)
    member = data.draw(st.sampled_from(members))
    other = data.draw(digests.filter(lambda digest: digest != member))
    proof = tree.proof(member)
    assert not verify_inclusion(other, proof, tree.root)
    assert not (proof and verify_inclusion(member, proof[1:], tree.root))


@given(sets)
def test_verify_inclusion__of_an_inner_node__fails(members: list[Hash32]) -> None:
    """An inner node with the rest of a proof is no proof of anything: leaves are hashed twice."""
    tree = MerkleTree(members)
    assert not verify_inclusion(tree.root, (), tree.root)


@given(sets)
def test_root__does_not_depend_on_order_or_repetition(members: list[Hash32]) -> None:
    assert MerkleTree([*reversed(members), members[0]]).root == MerkleTree(members).root


def test_tree__of_nothing__is_refused() -> None:
    with pytest.raises(InvalidValue, match="at least one"):
        MerkleTree([])
