"""`pixref predict`, `pixref samples` and `pixref models`: from stored pictures to predictions and a contact sheet."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schema.session import Sessions
from service.accounts.actor import Actor
from storage.base import ObjectStore
from tests.cli.conftest import Pixref
from tests.factories import BIG, add_image, make_png, rows


@pytest.mark.usefixtures("mnist_model")
def test_each_picture_is_predicted_once(pixref: Pixref, sessions: Sessions) -> None:
    pixref("load", "mnist", "--count", "30")
    first = pixref("predict", "--all")
    assert (first.code, first.out) == (0, "30 predicted by mnist version 1, 0 failed\n")
    pixref("load", "mnist", "--count", "34")
    again = pixref("predict", "--all", "--version", "1", "--json")
    assert json.loads(again.out).items() >= {"model": "mnist", "version": 1, "predicted": 4, "skipped": 30, "failed": 0}.items()
    ((right,),) = rows(
        sessions, "select count(*) from catalog.images i join catalog.predictions p using (image_id) where i.label = p.label"
    )
    assert right >= 33


@pytest.mark.usefixtures("mnist_model")
def test_a_picture_that_cannot_be_predicted_is_counted_and_tried_again(
    pixref: Pixref, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    image_id = add_image(sessions, store, actor, make_png(BIG, BIG))
    add_image(sessions, store, actor)
    ((key,),) = rows(sessions, "select object_key from pixref.image where id = :id", id=image_id)
    store.delete_object(key)
    first, again = pixref("predict", "--all"), pixref("predict", "--all")
    assert (first.code, first.out) == (3, "1 predicted by mnist version 1, 1 failed\n")
    assert (again.code, again.out) == (3, "0 predicted by mnist version 1, 1 failed\n")


def test_predict_refuses_what_it_cannot_do(pixref: Pixref, mnist_model: int) -> None:
    for arguments, said in (
        (["--all", "--model", "nope"], "there is no model 'nope'"),
        (["--all", "--version", str(mnist_model + 1)], f"with version {mnist_model + 1}"),
        ([], "say which pictures"),
        (["--all", "--tag", "a"], "say which pictures"),
        (["--where", "true) OR (true"], "only a condition can stand here"),
        (["--where", "width >"], "syntax error"),
        (["--split", "No Split!"], "split"),
    ):
        result = pixref("predict", *arguments)
        assert (result.code, result.out) == (2, "")
        assert said in result.err


@pytest.mark.usefixtures("mnist_model")
def test_the_contact_sheet_is_a_picture(pixref: Pixref, tmp_path: Path) -> None:
    pixref("load", "mnist", "--count", "9")
    pixref("predict", "--all")
    out = tmp_path / "samples.png"
    result = pixref("samples", "--count", "25", "--out", out)
    assert (result.code, result.out) == (0, f"9 pictures are drawn in {out}\n")
    with Image.open(out) as drawn:
        drawn.load()
        assert drawn.format == "PNG"
        # Titles are green where label and prediction agree, which nothing else in the sheet is.
        pixels = np.asarray(drawn.convert("RGB"), dtype=int)
        red, green, blue = pixels[:, :, 0], pixels[:, :, 1], pixels[:, :, 2]
        assert ((green > red + 60) & (green > blue + 40)).any()


def test_samples_refuses_what_it_cannot_do(pixref: Pixref, tmp_path: Path) -> None:
    missing = pixref("samples", "--out", tmp_path / "missing" / "samples.png")
    assert (missing.code, missing.out) == (2, "")
    assert "--out" in missing.err
    assert pixref("samples", "--out", tmp_path).code == 2
    empty = pixref("samples", "--out", tmp_path / "samples.png")
    assert "`pixref load mnist --count 1000`" in empty.err
    assert not (tmp_path / "samples.png").exists()


@pytest.mark.usefixtures("mnist_model")
def test_models_are_listed(pixref: Pixref) -> None:
    head, row = pixref("models", "list").out.splitlines()
    assert head.split() == ["model", "version", "aliases", "state", "input", "registered", "labels"]
    assert row.split()[:5] == ["mnist", "1", "champion", "ready", "28x28x1"]
    (listed,) = json.loads(pixref("models", "list", "--json").out)
    assert (listed["model"], listed["version"], listed["labels"]) == ("mnist", 1, [str(digit) for digit in range(10)])


def test_models_add_says_why_a_file_is_refused(pixref: Pixref, tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    file.write_text("not a model")
    refused = pixref("models", "add", file, "--name", "mine", "--labels", "a,b")
    assert (refused.code, refused.out) == (2, "")
    assert "zip" in refused.err
    for arguments in (["--preprocessing", "{"], ["--preprocessing", "[1]"], ["--name", "M!"]):
        result = pixref("models", "add", file, "--name", "mine", "--labels", "a,b", *arguments)
        assert (result.code, result.out) == (2, "")
    assert pixref("models", "add", tmp_path / "none.keras", "--name", "mine", "--labels", "a").code == 2
