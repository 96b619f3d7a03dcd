"""Change what people say of one picture: its split, its attributes, its name. What the file says of itself never changes."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import update

from schema.session import Sessions
from schema.tables import Image
from service.errors import Invalid
from service.names import clean_attributes, clean_file_name, clean_split
from service.pictures.search import BIGINT_MAX, ImageInfo, no_such_image, read_image


@dataclass(frozen=True, slots=True)
class ImageChange:
    """The fields named in `given` are to be changed. Raises `Invalid`."""

    given: frozenset[str]
    split: str | None = None
    attributes: dict[str, Any] | None = None
    original_name: str | None = None

    def __post_init__(self) -> None:
        if not self.given:
            raise Invalid("nothing to change: give split, attributes or original_name", field="body")
        object.__setattr__(self, "split", clean_split(self.split))
        object.__setattr__(self, "attributes", clean_attributes(self.attributes))
        object.__setattr__(self, "original_name", clean_file_name(self.original_name))

    @property
    def values(self) -> dict[str, Any]:
        """The columns to set."""
        return {name: getattr(self, name) for name in sorted(self.given)}


def change_image(sessions: Sessions, image_id: int, change: ImageChange) -> ImageInfo:
    """Change a picture's own row. Raises `NotFound`."""
    with sessions() as session, session.begin():
        known = 0 < image_id <= BIGINT_MAX
        changed = update(Image).where(Image.id == image_id, Image.state == "READY").values(change.values).returning(Image.id)
        if not known or session.scalar(changed) is None:
            raise no_such_image(image_id)
        return read_image(session, image_id)
