"""What each picture of a snapshot is for: to learn from, to watch the learning by, or to measure by at the end."""

import hashlib
from collections.abc import Iterable
from enum import Enum

from service.errors import Invalid
from service.learning.snapshots import Member

TEST, VALIDATION = "test", "validation"


class Part(Enum):
    """A picture's part in a training."""

    TRAINING = "training"
    VALIDATION = "validation"
    TEST = "test"


def part_of(member: Member, *, share: float, seed: int) -> Part:
    """Return what a picture is for. Those of the splits `test` and `validation` are what these say; of the others `share` (0 to 1) is kept
    aside for validation, by a hash of the seed and the picture's own digest: the same in every training, whichever other pictures there are."""
    if member.split == TEST:
        return Part.TEST
    if member.split == VALIDATION:
        return Part.VALIDATION
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{member.sha256}".encode()).digest()[:8]) / 2**64
    return Part.VALIDATION if drawn < share else Part.TRAINING


def divide(members: Iterable[Member], *, share: float, seed: int) -> dict[Part, list[Member]]:
    """Divide a snapshot. Where it has a split `validation`, nothing else is kept aside. Raises `Invalid` when there is nothing to learn from."""
    kept = list(members)
    if any(member.split == VALIDATION for member in kept):
        share = 0.0
    parts: dict[Part, list[Member]] = {part: [] for part in Part}
    for member in kept:
        parts[part_of(member, share=share, seed=seed)].append(member)
    labels = {member.label for member in parts[Part.TRAINING]}
    if len(labels) < 2:
        what = f"all are {next(iter(labels))!r}" if labels else "there is none"
        raise Invalid(
            f"a classifier learns from pictures of two labels or more, and of those that are not of the split test {what}: "
            "label more pictures, or choose others",
            field="where",
        )
    return parts
