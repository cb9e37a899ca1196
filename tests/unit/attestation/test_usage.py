from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from molt_market.attestation.merkle import verify_inclusion
from molt_market.attestation.usage import GpuReading, Heartbeat, ProcessReading, UsageLog
from molt_market.domain.ids import ZERO_HASH, EscrowId, Hash32
from molt_market.errors import InvalidValue
from tests.factories import DEAL_ID, NOON


def make_gpu(uuid: str, **overrides: Any) -> GpuReading:
    return GpuReading(**{"uuid": uuid, "model": "NVIDIA H100 80GB HBM3", "vram_mb": 81_559, **overrides})


A, B = make_gpu("GPU-a"), make_gpu("GPU-b")


def make_heartbeat(**overrides: Any) -> Heartbeat:
    fields = {"deal_id": DEAL_ID, "sequence": 0, "at": NOON, "gpus": (A, B)}
    return Heartbeat(**{**fields, **overrides})


def make_log(count: int) -> UsageLog:
    log = UsageLog(DEAL_ID)
    for sequence in range(count):
        at = NOON + timedelta(minutes=sequence)
        log.append(make_heartbeat(sequence=sequence, at=at, previous=log.head))
    return log


def test_digest__binds_every_field() -> None:
    changes: dict[str, Any] = {
        "deal_id": EscrowId("0x" + "01" * 32),
        "sequence": 1,
        "at": NOON + timedelta(seconds=1),
        "gpus": (B, A),
        "processes": ProcessReading(count=1, cpu_ms=2, memory_mb=3),
        "progress_digest": Hash32("0x" + "02" * 32),
        "previous": Hash32("0x" + "03" * 32),
    }
    assert changes.keys() == Heartbeat.model_fields.keys()
    digests = {make_heartbeat(**{name: value}).digest for name, value in changes.items()}
    assert len(digests | {make_heartbeat().digest}) == len(changes) + 1


def test_digest__survives_json() -> None:
    gpus = (make_gpu("GPU-a", utilization_percent=7, memory_mb=0), B)
    heartbeat = make_heartbeat(gpus=gpus, processes=ProcessReading(count=1, cpu_ms=2, memory_mb=3))
    received = Heartbeat.model_validate_json(heartbeat.model_dump_json())
    assert received == heartbeat
    assert received.digest == heartbeat.digest


def test_digest__is_fixed() -> None:
    """A log written today has to verify tomorrow: this value never changes."""
    assert make_heartbeat().digest == "0x56e25b3df0586a6a6b3b4a7c3e4a28b1898a9995bf653b502f161bc3ccbe279b"


@pytest.mark.parametrize(
    "wrong",
    [
        {"gpus": (A, A)},
        {"gpus": ({"uuid": "", "model": "H100", "vram_mb": 1},)},
        {"gpus": ({"uuid": "GPU-a", "model": "", "vram_mb": 1},)},
        {"gpus": ({"uuid": "GPU-a", "model": "H100", "vram_mb": 1.0},)},
        {"gpus": ({"uuid": "GPU-a", "model": "H100", "vram_mb": 1, "utilization_percent": 101},)},
        {"processes": {"count": -1, "cpu_ms": 0, "memory_mb": 0}},
        {"sequence": -1},
        {"at": NOON.replace(tzinfo=None)},
    ],
)
def test_heartbeat__out_of_range__is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_heartbeat(**wrong)


def test_log__proves_each_heartbeat() -> None:
    log = make_log(9)
    for heartbeat in log.heartbeats:
        assert verify_inclusion(heartbeat.digest, log.proof(heartbeat.sequence), log.root)


def test_log__root_grows_with_it() -> None:
    assert make_log(0).root == ZERO_HASH
    assert len({make_log(count).root for count in range(5)}) == 5


def test_log__can_be_read_again() -> None:
    log = make_log(4)
    assert UsageLog(DEAL_ID, log.heartbeats).root == log.root


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"deal_id": EscrowId("0x" + "01" * 32)}, "the log of"),
        ({"sequence": 1}, "comes where 2 is due"),
        ({"sequence": 3}, "comes where 2 is due"),
        ({"previous": ZERO_HASH}, "the log ends in"),
        ({"at": NOON + timedelta(minutes=1)}, "not later"),
    ],
)
def test_append__what_does_not_continue_the_log__is_refused(wrong: dict[str, Any], says: str) -> None:
    log = make_log(2)
    before = log.root
    following = {"sequence": 2, "at": NOON + timedelta(minutes=2), "previous": log.head}
    with pytest.raises(InvalidValue, match=says):
        log.append(make_heartbeat(**{**following, **wrong}))
    assert (len(log.heartbeats), log.root) == (2, before)


def test_append__changed_history__is_refused() -> None:
    first, second, *_ = make_log(3).heartbeats
    changed = first.model_copy(update={"gpus": (A,)})
    with pytest.raises(InvalidValue, match="heartbeat 1 follows"):
        UsageLog(DEAL_ID, [changed, second])


@pytest.mark.parametrize("sequence", [-1, 3])
def test_proof__of_a_heartbeat_that_is_not_there__is_refused(sequence: int) -> None:
    with pytest.raises(InvalidValue, match="ends at 2"):
        make_log(3).proof(sequence)
