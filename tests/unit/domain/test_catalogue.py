from __future__ import annotations

import pytest

from molt_market.domain import catalogue
from molt_market.domain.catalogue import canonical_model, models
from molt_market.errors import UnknownModel


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("H100", "H100"),
        ("NVIDIA H100 80GB", "H100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("h100-sxm5", "H100"),
        ("NVIDIA H100 PCIe", "H100-PCIE"),
        ("NVIDIA H100 NVL", "H100-NVL"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("A100-80GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100-PCIE"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("Tesla T4", "T4"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("NVIDIA RTX A6000", "RTXA6000"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX6000-Ada"),
        ("Quadro RTX 6000", "RTX6000"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX4070S-Ti"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "RTXPRO6000S"),
        ("AMD Instinct MI300X", "MI300X"),
        ("Intel Gaudi 3", "Gaudi3"),
    ],
)
def test_canonical_model__of_a_usual_spelling__is_the_model(name: str, canonical: str) -> None:
    assert canonical_model(name).name == canonical


# Every model that public GPU clouds listed in the survey of prices behind the benchmarks.
LISTED = """
    A100-80GB A100-PCIE A100-SXM4 A40 B200 H100 H100-NVL H100-SXM H200 L40 L40S RTX3060 RTX3060-Ti
    RTX3070 RTX3080 RTX3090 RTX4060-Ti RTX4070S-Ti RTX4090 RTX5090 RTX6000-Ada RTXA2000 RTXA6000
    RTXPRO6000S V100
"""


@pytest.mark.parametrize("name", LISTED.split())
def test_canonical_model__of_every_listed_model__is_found(name: str) -> None:
    assert canonical_model(name).form_factor in {"SXM", "PCIe"}


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_canonical_model__of_a_canonical_name__is_itself(model: catalogue.GpuModel) -> None:
    assert canonical_model(model.name) is model


def test_spellings__of_two_models__never_meet() -> None:
    owners: dict[str, set[str]] = {}
    for model in models():
        for name in (model.name, *model.aliases):
            owners.setdefault(catalogue._spelling(name), set()).add(model.name)
    assert {spelling: names for spelling, names in owners.items() if len(names) > 1} == {}


def test_spellings__with_a_memory_size__keep_the_model() -> None:
    """ "A100 80GB" is an A100: no size turns one model into another."""
    for model in models():
        for size in model.vram_gb:
            assert canonical_model(f"{model.name} {size}GB") is model


def test_models__state_memory_and_form() -> None:
    for model in models():
        assert model.vram_gb
        assert all(1 <= size < 2**16 for size in model.vram_gb)
        assert model.form_factor in {"SXM", "PCIe", "OAM", "superchip", "APU"}


def test_canonical_model__of_an_unknown_name__names_the_nearest() -> None:
    with pytest.raises(UnknownModel) as caught:
        canonical_model("H1000")
    assert caught.value.name == "H1000"
    assert "H100" in caught.value.nearest
    assert len(caught.value.nearest) <= 3


@pytest.mark.parametrize("name", ["", "??", "toaster", "NVIDIA", "H100" * 1_000, "H100" + " " * 100])
def test_canonical_model__of_anything_else__is_refused(name: str) -> None:
    with pytest.raises(UnknownModel):
        canonical_model(name)
