"""Delete a picture: it is out of sight when this returns, its object goes by the outbox (`service.upkeep.sweep`)."""

from schema.queries.deletions import start_deletion
from schema.session import Sessions
from service.pictures.search import BIGINT_MAX, no_such_image


def delete_image(sessions: Sessions, image_id: int) -> None:
    """Delete a picture with its tags, history and predictions. Raises `NotFound`."""
    with sessions() as session, session.begin():
        known = 0 < image_id <= BIGINT_MAX
        if not known or not start_deletion(session, reason="deleted", image_id=image_id, from_state="READY"):
            raise no_such_image(image_id)
