"""Who acts in a use case."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a token allows; each role may do all that the one before it may."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Actor:
    """An account in one of its roles. `token_id` is None on the command line, where the shell's owner is trusted."""

    account_id: int
    name: str
    role: Role
    token_id: int | None = None
