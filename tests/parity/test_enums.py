"""The contract's enums against ours, read from the interface."""

import re
from pathlib import Path

from molt_market.domain.deals import DealStatus
from molt_market.domain.gpus import Feature, feature_bits
from molt_market.domain.roles import Role
from molt_market.refusals import REFUSALS, STATUS_NAMES
from molt_market.signing.messages import Side

INTERFACE = Path(__file__).resolve().parents[2] / "contracts" / "interfaces" / "IMoltEscrow.sol"


def members(enum: str) -> list[str]:
    source = re.sub(r"//.*", "", INTERFACE.read_text("utf-8"))
    body = re.search(rf"enum {enum} {{(.*?)}}", source, re.DOTALL)
    assert body is not None
    return re.findall(r"\w+", body[1])


def test_codes__are_the_refusals_in_order() -> None:
    none, *codes = members("Code")
    assert none == "NONE"
    assert [(number, refusal.name) for number, refusal in REFUSALS.items()] == list(enumerate(codes, start=1))


def test_statuses() -> None:
    assert [(status.name, int(status)) for status in DealStatus] == [
        (name, number) for number, name in enumerate(members("Status"))
    ]
    assert list(STATUS_NAMES) == members("Status")


def test_sides() -> None:
    assert [(side.name, int(side)) for side in Side] == [
        (name, number) for number, name in enumerate(members("Side"))
    ]


def test_roles() -> None:
    assert [(role.name, int(role)) for role in Role] == [
        (name, number) for number, name in enumerate(members("Role"))
    ]


def test_features__have_the_bits_of_their_order() -> None:
    """The contract only compares bits; their meaning is this order, which must never change."""
    assert [(feature.name, feature_bits([feature])) for feature in Feature] == [
        ("NVLINK", 1),
        ("INFINIBAND", 2),
        ("FP8", 4),
        ("HIGH_BANDWIDTH_MEMORY", 8),
        ("DEDICATED_HOST", 16),
    ]
