"""The parts of the application, as the head of every page lists them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A part: the endpoint of its first page, its name, the endpoints of its other pages, and whether only editors have it."""

    endpoint: str
    name: str
    others: frozenset[str] = frozenset()
    editors_only: bool = False


def _section(endpoint: str, name: str, *others: str, editors_only: bool = False) -> Section:
    return Section(f"pages.{endpoint}", name, frozenset(f"pages.{other}" for other in others), editors_only)


_SECTIONS = (
    _section("gallery", "Gallery", "image", "confirm_delete", "ask_for_predictions"),
    _section("upload", "Upload", "send_files", editors_only=True),
    _section("labels", "Labels", "tags"),
    _section("review_next", "Review", editors_only=True),
    _section("sql", "SQL", "download_sql"),
    _section("models", "Models", "model_history", "compare", "ask_for_training", "evaluations", "evaluation"),
    _section("try_model", "Try", "tried"),
    _section("jobs", "Jobs", "job"),
    _section("trash", "Trash", editors_only=True),
    _section("api_docs", "API"),
)


def sections(*, may_edit: bool) -> list[Section]:
    """Return the parts that somebody has."""
    return [section for section in _SECTIONS if may_edit or not section.editors_only]
