"""What `import molt_market` offers, and what it costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import molt_market
from molt_market import errors
from molt_market.errors import MoltError

SOURCE = Path(molt_market.__file__)
OF_THE_REFERENCE = {
    "Amount",
    "Attestation",
    "CapacityOffer",
    "Confirmation",
    "DisputeId",
    "EscrowAccount",
    "EscrowId",
    "EscrowState",
    "ExecutionProof",
    "Feature",
    "GpuCapacity",
    "JobOrder",
    "JobRequirements",
    "JobSettlementInput",
    "Location",
    "MarketError",
    "MoltClient",
    "Network",
    "OfferId",
    "OfferStatus",
    "OrderBook",
    "OrderId",
    "OrderMatch",
    "OrderStatus",
    "PaymentService",
    "Priority",
    "SettlementResult",
    "SettlementStatus",
    "TransactionId",
    "Wallet",
    "settle_job",
}


def typed_names() -> dict[str, str]:
    """Return what type checkers are told: each name with the module it comes from."""
    found = {}
    for node in ast.walk(ast.parse(SOURCE.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("molt_market."):
            found.update({alias.name: node.module or "" for alias in node.names})
    return found


def test_all__is_what_type_checkers_are_told() -> None:
    assert set(molt_market.__all__) == typed_names().keys()
    assert len(molt_market.__all__) == len(set(molt_market.__all__))


@pytest.mark.parametrize("name", molt_market.__all__)
def test_name__is_the_one_of_its_module(name: str) -> None:
    home = typed_names()[name]
    assert getattr(molt_market, name) is getattr(sys.modules[home], name)


def test_all__has_the_names_of_the_reference() -> None:
    assert set(molt_market.__all__) >= OF_THE_REFERENCE


def test_all__has_every_error() -> None:
    every = {
        name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, MoltError)
    }
    assert every <= set(molt_market.__all__)


def test_name__unknown__is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = molt_market.Nonsense


def test_dir__shows_the_names() -> None:
    assert set(molt_market.__all__) <= set(dir(molt_market))


@pytest.mark.parametrize(
    ("statement", "not_loaded"),
    [
        ("import molt_market", {"web3", "eth_account", "pydantic", "lark"}),
        ("from molt_market import OrderBook, JobOrder, CapacityOffer", {"web3", "eth_account", "lark"}),
        ("from molt_market import Network, sign_offer", {"web3"}),
    ],
)
def test_import__loads_no_more_than_it_needs(statement: str, not_loaded: set[str]) -> None:
    program = f"import sys; {statement}; print(*({not_loaded} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
