"""What a GPU offer is made of: features, place, capacity."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from molt_market.domain.catalogue import canonical_model
from molt_market.domain.fields import GpuCount, Uint32, Value, distinct, whole
from molt_market.errors import InvalidValue


class Feature(StrEnum):
    """What a job may require of a machine. The order is the contract's: bit i of a mask is feature i."""

    NVLINK = "nvlink"
    INFINIBAND = "infiniband"
    FP8 = "fp8"
    HIGH_BANDWIDTH_MEMORY = "high_bandwidth_memory"
    DEDICATED_HOST = "dedicated_host"


_FEATURES = tuple(Feature)


def feature_bits(features: Iterable[Feature]) -> int:
    """Return the features as the contract's mask.

    >>> feature_bits([Feature.NVLINK, Feature.FP8])
    5
    """
    return sum(1 << _FEATURES.index(feature) for feature in set(features))


def features_from_bits(bits: int) -> tuple[Feature, ...]:
    """Return the features of a mask. Raises InvalidValue for a bit without a feature."""
    if bits < 0 or bits >> len(_FEATURES):
        raise InvalidValue(f"feature mask {bits:#x} has bits beyond the {len(_FEATURES)} known features")
    return tuple(feature for bit, feature in enumerate(_FEATURES) if bits >> bit & 1)


def _listed_features(value: object) -> object:
    return list(value) if isinstance(value, (tuple, set, frozenset)) else value


def _in_order(features: list[Feature]) -> tuple[Feature, ...]:
    return features_from_bits(feature_bits(features))


Features = Annotated[
    tuple[Feature, ...],
    BeforeValidator(_listed_features),
    AfterValidator(lambda found: _in_order(list(found))),
]
"""Features without repetition, in the order of the enum, whatever order they come in."""


def _model_name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidValue(f"{name!r} is not a GPU model: give its name, e.g. 'H100'")
    return canonical_model(name).name


def _model_names(names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidValue(f"{names!r} is not a list of GPU models: write e.g. ['H100']")
    return distinct((_model_name(name) for name in names), "GPU model")


ModelName = Annotated[str, BeforeValidator(_model_name)]
ModelNames = Annotated[tuple[str, ...], BeforeValidator(_model_names)]

_REGION = re.compile(r"[a-z0-9][a-z0-9._-]{0,30}")
_COUNTRY = re.compile(r"[A-Z]{2}")


class Location(Value):
    """A place. In an order, what is left out may be anything.

    >>> Location(region="US-East-1", country="us")
    Location(region='us-east-1', country='US')
    """

    region: str | None = None
    country: str | None = None

    @field_validator("region")
    @classmethod
    def _check_region(cls, region: str | None) -> str | None:
        if region is None:
            return None
        if _REGION.fullmatch(region.lower()) is None or not region.isascii():
            raise InvalidValue(f"region {region!r}: write 1 to 31 ASCII letters, digits, '.', '_' or '-'")
        return region.lower()

    @field_validator("country")
    @classmethod
    def _check_country(cls, country: str | None) -> str | None:
        if country is None:
            return None
        if _COUNTRY.fullmatch(country.upper()) is None or not country.isascii():
            raise InvalidValue(f"country {country!r}: write the two letters of ISO 3166-1, e.g. 'US'")
        return country.upper()

    @model_validator(mode="after")
    def _check_either(self) -> Location:
        if self.region is None and self.country is None:
            raise InvalidValue("a location names a region, a country or both: leave it out to allow any")
        return self


class GpuCapacity(Value):
    """GPUs inside one interconnect domain. VRAM in GB of each GPU, bandwidth in GB/s, utilization in percent.

    >>> GpuCapacity(gpu_count=8, gpu_model="NVIDIA H100 80GB", vram_gb=80).gpu_model
    'H100'
    """

    gpu_count: GpuCount
    gpu_model: ModelName
    vram_gb: Annotated[int, whole(1, 2**16 - 1)]
    compute_capability: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] | None = None
    memory_bandwidth: Uint32 | None = None
    current_utilization: Annotated[int, whole(0, 100)] | None = None
