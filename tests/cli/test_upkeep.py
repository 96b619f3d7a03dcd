"""`pixref sweep`, `pixref fsck`, `pixref trash`."""

import json
from datetime import timedelta

from schema.session import Sessions
from service.accounts.actor import Actor
from service.pictures.delete import delete_image
from service.pictures.search import get_image
from storage.base import ObjectStore
from tests.cli.conftest import Pixref
from tests.factories import BIG, add_image, assert_in_step, make_png, object_key

WEEK = timedelta(days=7)


def test_sweep_says_what_it_did(pixref: Pixref, sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    delete_image(sessions, add_image(sessions, store, actor))
    assert pixref("sweep").out == "0 abandoned, 1 objects removed, 0 must wait\n"
    assert pixref("sweep").out == "0 abandoned, 0 objects removed, 0 must wait\n"
    assert_in_step(sessions, store)


def test_fsck_looks_repairs_and_says_so_by_its_exit_code(
    pixref: Pixref, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    ids = [add_image(sessions, store, actor, make_png(BIG, BIG)) for _ in range(3)]
    clean = pixref("fsck", "--deep")
    assert (clean.code, clean.out) == (0, "3 rows and 3 objects compared, 3 pictures read\nclean\n")
    store.delete_object(object_key(sessions, ids[0]))
    for arguments, marked in (((), 0), (("--repair",), 1), (("--repair",), 0)):
        result = pixref("fsck", *arguments)
        assert result.code == 1
        assert f"picture {ids[0]}\n" in result.out
        assert "upload the same files again" in result.out
        assert ("1 pictures and models marked" in result.out) == bool(marked)
    report = json.loads(pixref("fsck", "--json").out)
    assert (report["clean"], report["lost"]["count"], report["rows"], report["objects"]) == (False, 1, 3, 2)


def test_fsck_names_a_store_that_does_not_answer(pixref: Pixref) -> None:
    result = pixref("fsck", env={"S3_BUCKET": "no-such-bucket-here"})
    assert result.code == 2
    assert result.out == ""
    assert "no-such-bucket-here" in result.err


def test_trash_lists_and_restores(pixref: Pixref, sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    ids = [add_image(sessions, store, actor, original_name=f"{n}.png", label="7") for n in range(3)]
    for image_id in ids[:2]:
        delete_image(sessions, image_id, keep=WEEK)
    assert [line.split()[:3] for line in pixref("trash", "list").out.splitlines()[1:]] == [
        [str(ids[1]), "1.png", "7"],
        [str(ids[0]), "0.png", "7"],
    ]
    assert [item["id"] for item in json.loads(pixref("trash", "list", "--json", "--limit", "1").out)] == [ids[1]]
    assert pixref("trash", "restore", str(ids[0]), str(ids[1])).out == f"picture {ids[0]} is back\npicture {ids[1]} is back\n"
    assert get_image(sessions, ids[0]).label == "7"
    again = pixref("trash", "restore", str(ids[0]))
    assert again.code == 2
    assert "not in the trash" in again.err
    assert_in_step(sessions, store)
