"""Predictions and models, by the built-in model."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from pixref import BadImage, Client, Forbidden, NotFound
from schema.session import Sessions
from service.accounts.actor import Role
from service.settings import PROJECT_DIR
from tests.client.conftest import Connect
from tests.factories import make_png, one

PHOTO = PROJECT_DIR / "samples" / "photos" / "plot.png"


@pytest.mark.usefixtures("mnist_model")
def test_stored_pictures_and_files_are_predicted(api: Client, address: str, connect: Connect, sessions: Sessions) -> None:
    image = api.upload(PHOTO)
    stored = api.predict(image.id)
    assert (stored.image_id, stored.model, stored.version, stored.stored) == (image.id, "mnist", 1, True)
    assert stored.scores[stored.label] == pytest.approx(stored.score)
    assert set(stored.scores) == set("0123456789")
    assert api.predict(image, model="mnist", version=1).scores == stored.scores
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 1
    viewer = connect(address, Role.VIEWER)
    pixels = np.asarray(Pillow.open(PHOTO))
    assert api.predict(np.int64(image.id)).image_id == image.id  # type: ignore[arg-type]
    for source in (PHOTO, str(PHOTO), PHOTO.read_bytes(), pixels):
        loose = viewer.predict(source, alias="champion")
        assert (loose.image_id, loose.stored) == (None, False)
        assert loose.scores == stored.scores
    with pytest.raises(Forbidden):
        viewer.predict(image)
    with pytest.raises(NotFound):
        api.predict(image, model="nobody")
    with pytest.raises(NotFound):
        api.predict(image, version=7)
    with pytest.raises(NotFound):
        api.predict(99)
    with pytest.raises(BadImage):
        api.predict(make_png()[:-5])
    with pytest.raises(FileNotFoundError):
        api.predict(Path("/nowhere.png"))


def test_models_are_listed(api: Client, mnist_model: int, labels: list[str]) -> None:
    [version] = api.models()
    assert (version.model, version.version, version.aliases) == ("mnist", mnist_model, ["champion"])
    assert (version.state, version.labels, version.damage) == ("ready", labels, None)
    assert version.metrics
    assert version.created_at.tzinfo is not None


def test_without_models_the_list_is_empty(api: Client) -> None:
    assert api.models() == []
