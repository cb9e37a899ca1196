from __future__ import annotations

import pytest
from pydantic import ValidationError

from molt_market.domain.ids import EscrowId
from molt_market.domain.jobs import (
    Access,
    HandOverAnswer,
    InputFile,
    JobKind,
    JobLimits,
    JobResult,
    JobSpec,
    OutputFile,
)
from molt_market.signing.hashes import job_spec_hash, result_digest

DEAL = EscrowId("0x" + "de" * 32)
SHA = "ab" * 32


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../out", "a/../b", "a//b", "./a", "a/", "", ".", "..", "a\n", "x" * 201]
)
def test_path__stays_inside_the_jobs_folder(path: str) -> None:
    with pytest.raises(ValidationError):
        OutputFile(path=path, sha256=SHA, size=1)


@pytest.mark.parametrize("path", ["a", "data/input.bin", ".hidden", "a b/c"])
def test_path__may_be_any_other(path: str) -> None:
    assert OutputFile(path=path, sha256=SHA, size=1).path == path


def test_input__is_of_http_with_a_digest() -> None:
    with pytest.raises(ValidationError):
        InputFile(path="a", url="file:///etc/passwd", sha256=SHA)
    with pytest.raises(ValidationError):
        InputFile(path="a", url="https://example.com/a", sha256="AB" * 32)


def test_spec__refuses_what_makes_no_sense() -> None:
    twice = InputFile(path="a", url="https://example.com/a", sha256=SHA)
    with pytest.raises(ValidationError, match="same path"):
        JobSpec(command=("true",), inputs=(twice, twice))
    with pytest.raises(ValidationError, match="make it a lease"):
        JobSpec(command=("true",), ports=1)
    with pytest.raises(ValidationError, match="make it a batch job"):
        JobSpec(command=("true",), kind=JobKind.LEASE, outputs=("a",))
    with pytest.raises(ValidationError):
        JobSpec(command=())
    with pytest.raises(ValidationError):
        JobSpec(command=("true",), environment={"LD PRELOAD": "x"})
    with pytest.raises(ValidationError):
        JobSpec(command=("true",), image="python:latest")
    with pytest.raises(ValidationError):
        JobLimits(seconds=0)


def test_spec__has_a_hash_that_each_field_changes() -> None:
    one = JobSpec(command=("true",))
    others = [
        one.model_copy(update=change)
        for change in (
            {"command": ("false",)},
            {"environment": {"A": "b"}},
            {"outputs": ("a",)},
            {"limits": JobLimits(seconds=5)},
        )
    ]
    assert len({job_spec_hash(each) for each in (one, *others)}) == 5
    assert job_spec_hash(JobSpec.model_validate_json(one.model_dump_json())) == job_spec_hash(one)


def test_result__has_a_digest_of_its_files() -> None:
    result = JobResult(deal_id=DEAL, exit_code=0, outputs=(OutputFile(path="a", sha256=SHA, size=1),))
    failed = JobResult(deal_id=DEAL, exit_code=-9)
    assert result_digest(result) != result_digest(failed)
    assert int(result_digest(failed), 16)  # zero would mean: not completed


def test_answer__is_one_thing() -> None:
    access = Access(deal_id=DEAL, token="t", files_url="http://127.0.0.1:1/files")
    assert HandOverAnswer(access=access).refusal is None
    with pytest.raises(ValidationError, match="set one of them"):
        HandOverAnswer()
    with pytest.raises(ValidationError, match="set one of them"):
        HandOverAnswer(access=access, refusal="no")
