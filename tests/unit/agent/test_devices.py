"""GPUs as a driver tells of them, and places of which nothing is known: no figure is made up."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from molt_market.agent.devices import NamelessDevices, NvmlDevices, assigned, devices_here
from molt_market.agent.ports import DeviceLost
from molt_market.attestation.usage import GpuReading
from molt_market.errors import InvalidValue

MIB = 2**20


class NVMLError(Exception):
    """As pynvml's."""


class Driver:
    """What pynvml answers, of two GPUs; `gone` are those that fell off the bus."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.measures = True
        self.answers = True

    def nvmlInit(self) -> None:  # noqa: N802 - its name there
        if not self.answers:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return f"GPU-{index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid in self.gone:
            raise NVMLError("GPU is lost")
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "NVIDIA H100 80GB HBM3"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(total=81_559 * MIB, used=1_024 * MIB)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        if not self.measures:
            raise NVMLError("Not Supported")
        return SimpleNamespace(gpu=87)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    return made


def test_driver__describes_each_gpu(driver: Driver) -> None:
    devices = devices_here()
    assert isinstance(devices, NvmlDevices)
    assert devices.count() == 2
    assert devices.visible((1, 0)) == "GPU-1,GPU-0"
    assert devices.read((1,)) == (
        GpuReading(
            uuid="GPU-1",
            model="NVIDIA H100 80GB HBM3",
            vram_mb=81_559,
            utilization_percent=87,
            memory_mb=1_024,
        ),
    )
    driver.measures = False
    assert devices.read((1,))[0].utilization_percent is None
    driver.gone.add("GPU-1")
    with pytest.raises(DeviceLost, match="GPU-1: GPU is lost"):
        devices.read((0, 1))


def test_no_driver__has_places_of_which_nothing_is_told(driver: Driver) -> None:
    driver.answers = False
    with pytest.raises(InvalidValue, match="--devices"):
        devices_here()
    devices = devices_here(3)
    assert isinstance(devices, NamelessDevices)
    assert (devices.count(), devices.visible((0, 2)), devices.read((0, 1, 2))) == (3, "", ())


def test_no_package__is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert isinstance(devices_here(1), NamelessDevices)


def test_without_gpus__asks_no_driver(driver: Driver) -> None:
    assert isinstance(devices_here(8, without_gpus=True), NamelessDevices)
    with pytest.raises(InvalidValue, match="--devices"):
        devices_here(without_gpus=True)


def test_count__that_is_not_the_drivers__is_refused(driver: Driver) -> None:
    assert devices_here(2).count() == 2
    with pytest.raises(InvalidValue, match="tells of 2 GPUs"):
        devices_here(8)


def test_assigned__are_free_ones() -> None:
    assert assigned(2, set(), 4) == (0, 1)
    assert assigned(2, {0, 1}, 4) == (2, 3)
    assert assigned(3, {0, 1}, 4) is None
