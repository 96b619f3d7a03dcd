"""What each view demands: declared on the view, checked before its body is read. A view that declares nothing is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from service.accounts.actor import Role

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call a view (None: anybody) and how much they may send.

    `body` is "small" for at most 1 MiB (JSON, small forms), "picture" for one file, "form" for many. With `keeps` the body is refused unread
    while it is known that it could not be kept.
    """

    role: Role | None
    body: str = "small"
    keeps: bool = False


def access(role: Role | None, *, body: str = "small", keeps: bool = False) -> Callable[[F], F]:
    """Declare what a view demands."""

    def declare(view: F) -> F:
        view.access = Access(role, body, keeps)  # type: ignore[attr-defined]
        return view

    return declare


def access_of(view: Callable[..., Any]) -> Access | None:
    """Return what a view declares, None for nothing."""
    return getattr(view, "access", None)
