"""What a picture is for in a training follows from its split, its own digest and the seed, and from nothing else."""

import hashlib

import pytest

from service.errors import Invalid
from service.learning.roles import Part, divide, part_of
from service.learning.snapshots import Member


def member(number: int, *, label: str = "", split: str | None = None) -> Member:
    return Member(number, hashlib.sha256(str(number).encode()).hexdigest(), label or str(number % 3), split)


MANY = [member(number) for number in range(3_000)]


def test_the_share_is_kept_aside_and_repeats_itself() -> None:
    parts = divide(MANY, share=0.1, seed=1)
    assert 240 < len(parts[Part.VALIDATION]) < 360
    assert len(parts[Part.TRAINING]) + len(parts[Part.VALIDATION]) == 3_000
    assert parts == divide(MANY, share=0.1, seed=1)
    assert parts[Part.VALIDATION] != divide(MANY, share=0.1, seed=2)[Part.VALIDATION]
    half = {each.sha256: part_of(each, share=0.1, seed=1) for each in MANY[::2]}
    assert half == {each.sha256: part_of(each, share=0.1, seed=1) for each in MANY if each.sha256 in half}
    assert not divide(MANY, share=0, seed=1)[Part.VALIDATION]


def test_splits_say_what_they_are_for() -> None:
    said = [member(5_000, split="test"), member(5_001, split="validation"), member(5_002, split="train")]
    parts = divide([*MANY, *said], share=0.5, seed=1)
    assert parts[Part.TEST] == said[:1]
    assert parts[Part.VALIDATION] == said[1:2]
    assert len(parts[Part.TRAINING]) == 3_001


@pytest.mark.parametrize("few", [[], [member(1), member(4)], [member(1), member(2, split="test")]])
def test_one_label_is_no_classifier(few: list[Member]) -> None:
    with pytest.raises(Invalid, match="two labels or more"):
        divide(few, share=0, seed=1)
