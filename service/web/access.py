"""What each view demands: declared on the view, checked before its body is read. A view that declares nothing is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from service.accounts.actor import Role
from service.settings import MIB

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a view (None: anybody) and how much they may send.

    `body` is "small" for at most `max_body` bytes (JSON, small forms), "picture" for one file, "form" for many, "model" for one model. With `keeps`
    the body is refused unread while it is known that it could not be kept.
    """

    role: Role | None
    body: str = "small"
    keeps: bool = False
    max_body: int = 1 * MIB


def access(role: Role | None, *, body: str = "small", keeps: bool = False, max_body: int = 1 * MIB) -> Callable[[F], F]:
    """Declare what a view demands."""

    def declare(view: F) -> F:
        view.access = Access(role, body, keeps, max_body)  # type: ignore[attr-defined]
        return view

    return declare


def access_of(view: Callable[..., Any]) -> Access | None:
    """Return what a view declares, None for nothing."""
    return getattr(view, "access", None)
