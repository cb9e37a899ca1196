"""GPU models by one name each, since the contract compares names by their hash.

`gpu_models.json` lists them. The bare name of a data-centre GPU is its module (SXM); its cards have names of
their own (H100 is the module, H100-PCIE and H100-NVL are cards). Sizes of memory do not make a model: VRAM is
stated apart.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from molt_market.errors import UnknownModel

MAX_NAME = 100
_VENDORS = re.compile(r"^(nvidia|amd|intel|habana|geforce|tesla|quadro|instinct|radeon)")


@dataclass(frozen=True, slots=True)
class GpuModel:
    """A model: its name, other spellings, the memory sizes (GB) it is listed with, and its form factor."""

    name: str
    aliases: tuple[str, ...]
    vram_gb: tuple[int, ...]
    form_factor: str


@cache
def models() -> tuple[GpuModel, ...]:
    """Return every model of the catalogue, in the file's order."""
    rows = json.loads(files("molt_market.domain").joinpath("gpu_models.json").read_text("utf-8"))
    return tuple(
        GpuModel(row["name"], tuple(row["aliases"]), tuple(row["vram_gb"]), row["form_factor"])
        for row in rows
    )


@lru_cache(maxsize=4_096)
def canonical_model(name: str) -> GpuModel:
    """Find a model by its name in any usual spelling. Raises UnknownModel with the nearest names.

    >>> canonical_model("NVIDIA H100 80GB").name
    'H100'
    """
    spelling = _spelling(name[:MAX_NAME])
    found = _by_spelling().get(spelling)
    if found is None or len(name) > MAX_NAME:
        raise UnknownModel(name[:MAX_NAME], _nearest(spelling))
    return found


def _spelling(name: str) -> str:
    plain = re.sub(r"[^a-z0-9]", "", name.casefold())
    while (shorter := _VENDORS.sub("", plain)) != plain:
        plain = shorter
    return plain


@cache
def _by_spelling() -> dict[str, GpuModel]:
    table: dict[str, GpuModel] = {}
    for model in models():
        for name in (model.name, *model.aliases):
            table[_spelling(name)] = model
    for model in models():  # "A100 80GB" is an A100; a model of that very name would go first
        for name in (model.name, *model.aliases):
            for size in model.vram_gb:
                table.setdefault(f"{_spelling(name)}{size}gb", model)
    return table


def _nearest(spelling: str) -> tuple[str, ...]:
    close = difflib.get_close_matches(spelling, _by_spelling(), n=6)
    return tuple(dict.fromkeys(_by_spelling()[each].name for each in close))[:3]
