"""The GPUs of this machine: as NVIDIA's driver describes them, or places of which nothing is known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import Any

from molt_market.agent.ports import DeviceLost, Devices
from molt_market.attestation.usage import GpuReading
from molt_market.errors import InvalidValue, counted

MIB = 2**20


class NamelessDevices:
    """So many places for GPUs, of which nothing can be measured: heartbeats say nothing of GPUs then."""

    def __init__(self, count: int) -> None:
        self._count = count

    def count(self) -> int:
        return self._count

    def visible(self, devices: Sequence[int]) -> str:  # noqa: ARG002 - there is no GPU to show
        return ""

    def read(self, devices: Sequence[int]) -> tuple[GpuReading, ...]:  # noqa: ARG002 - nothing is measured
        return ()


class NvmlDevices:
    """GPUs as NVML describes them: by identity, so that a renumbering by the driver is noticed.

    Args:
        nvml: the module `pynvml`, initialized.
    """

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        count = int(nvml.nvmlDeviceGetCount())
        handles = [nvml.nvmlDeviceGetHandleByIndex(each) for each in range(count)]
        self._uuids = [str(nvml.nvmlDeviceGetUUID(each)) for each in handles]

    def count(self) -> int:
        return len(self._uuids)

    def visible(self, devices: Sequence[int]) -> str:
        return ",".join(self._uuids[each] for each in devices)

    def read(self, devices: Sequence[int]) -> tuple[GpuReading, ...]:
        return tuple(self._reading(self._uuids[each]) for each in devices)

    def _reading(self, uuid: str) -> GpuReading:
        nvml = self._nvml
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            model = str(nvml.nvmlDeviceGetName(handle))
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError as error:
            raise DeviceLost(f"GPU {uuid}: {error}") from error
        return GpuReading(
            uuid=uuid,
            model=model,
            vram_mb=int(memory.total) // MIB,
            utilization_percent=self._measured(lambda: int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
            memory_mb=int(memory.used) // MIB,
        )

    def _measured(self, ask: Callable[[], int]) -> int | None:
        """Return a figure; None where this GPU has no such counter, as where it is shared."""
        try:
            return ask()
        except self._nvml.NVMLError:
            return None


def devices_here(count: int | None = None, *, without_gpus: bool = False) -> Devices:
    """Return the GPUs that NVIDIA's driver tells of; with a `count`, so many places if it does not answer.

    `without_gpus` does not ask the driver: places for a test, on any machine.

    Raises InvalidValue: no driver answers, and no count is given; or there are others than were counted.
    """
    nvml = None if without_gpus else _nvml()
    if nvml is None:
        if count is None:
            raise InvalidValue("no GPU's driver answers here: give --devices, how many there are to be")
        return NamelessDevices(count)
    found = NvmlDevices(nvml)
    if count not in {None, found.count()}:
        raise InvalidValue(
            f"--devices {count}, and the driver tells of {counted(found.count(), 'GPU')}: leave it out"
        )
    return found


def _nvml() -> Any:
    """Return NVML if it is here and answers, else None."""
    try:
        pynvml = import_module("pynvml")  # it has no types, and only a machine with GPUs needs it

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None
    return pynvml


def assigned(wanted: int, taken: Collection[int], count: int) -> tuple[int, ...] | None:
    """Return the lowest devices that nobody has; None if there are too few.

    >>> assigned(2, {0, 2}, 4)
    (1, 3)
    """
    free = [each for each in range(count) if each not in taken]
    return tuple(free[:wanted]) if len(free) >= wanted else None
