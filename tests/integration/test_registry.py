"""Model versions: registered whole or not at all, found by number or alias, loaded once and verified."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import BadModel, Invalid, ModelCorrupt, ModelUnavailable, NotFound, UploadInterrupted
from service.models.registration import register_model
from service.models.registry import champions, find_version, list_ready, list_versions
from service.models.serving import ModelRef, ModelServer
from service.models.vetting import VettedModel
from service.settings import PROJECT_DIR
from service.upkeep.sweep import sweep
from storage.base import ObjectStore, StoreUnavailable
from tests.factories import (
    StepStore,
    add_image,
    assert_in_step,
    execute,
    expire_leases,
    make_png,
    objects,
    one,
    raising,
    rows,
    sha256,
    together,
)

KERAS = PROJECT_DIR / "models" / "mnist.keras"


class Registering:
    """Registers the built-in file, or one that differs from it in its hash alone, as vetted."""

    def __init__(self, sessions: Sessions, store: ObjectStore, actor: Actor, vetted: VettedModel, folder: Path) -> None:
        self.sessions, self.store, self.actor, self.vetted, self.folder = sessions, store, actor, vetted, folder

    def __call__(
        self,
        *,
        name: str = "digits",
        variant: int = 0,
        store: ObjectStore | None = None,
        labels: list[str] | None = None,
        **changes: Any,
    ) -> int:
        path = self.folder / f"{variant}.keras"
        path.write_bytes(KERAS.read_bytes() + bytes(variant))
        data = path.read_bytes()
        vetted = dataclasses.replace(self.vetted, sha256=sha256(data), byte_size=len(data), **changes)
        return register_model(
            self.sessions,
            store or self.store,
            path,
            name=name,
            labels=labels or [str(digit) for digit in range(10)],
            preprocessing=vetted.preprocessing,
            metrics={"test_accuracy": 0.99},
            actor=self.actor,
            work_dir=self.folder,
            vet=lambda *_args, **_kwargs: vetted,
        )


@pytest.fixture
def register(sessions: Sessions, store: ObjectStore, actor: Actor, vetted_mnist: VettedModel, tmp_path: Path) -> Registering:
    return Registering(sessions, store, actor, vetted_mnist, tmp_path)


def test_champions_that_have_predicted_come_first(
    register: Registering, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    assert champions(sessions) == []
    for name in ("zoo", "digits", "other"):
        register(name=name)
    assert champions(sessions) == ["digits", "other", "zoo"]
    image_id = add_image(sessions, store, actor, make_png())
    execute(
        sessions,
        "INSERT INTO pixref.prediction (image_id, model_version_id, error) SELECT :image, v.id, 'cannot be' "
        "FROM pixref.model_version v JOIN pixref.model m ON m.id = v.model_id WHERE m.name = 'zoo'",
        image=image_id,
    )
    assert champions(sessions) == ["zoo", "digits", "other"]
    execute(sessions, "DELETE FROM pixref.model_alias WHERE model_id = (SELECT id FROM pixref.model WHERE name = 'digits')")
    assert champions(sessions) == ["zoo", "other"]


def test_versions_count_up_and_the_first_is_champion(register: Registering, sessions: Sessions, store: ObjectStore) -> None:
    assert [register(), register(), register(variant=1), register(name="other")] == [1, 1, 2, 1]
    versions = list_versions(sessions)
    assert [(v.model, v.version, v.aliases, v.state) for v in versions] == [
        ("digits", 2, [], "ready"),
        ("digits", 1, ["champion"], "ready"),
        ("other", 1, ["champion"], "ready"),
    ]
    assert versions[1].labels == [str(digit) for digit in range(10)]
    assert versions[1].metrics["test_accuracy"] == 0.99
    assert rows(sessions, "SELECT model, version, aliases FROM catalog.model_versions ORDER BY 1, 2 DESC") == [
        (v.model, v.version, v.aliases) for v in versions
    ]
    assert [(v.model, v.version, v.aliases) for v in list_ready(sessions)] == [(v.model, v.version, v.aliases) for v in versions]
    assert find_version(sessions, "digits").number == 1
    assert find_version(sessions, "digits", version=2).number == 2
    execute(
        sessions,
        "UPDATE pixref.model_alias SET model_version_id = (SELECT id FROM pixref.model_version WHERE number = 2) WHERE model_id = "
        "(SELECT id FROM pixref.model WHERE name = 'digits')",
    )
    assert find_version(sessions, "digits", alias="champion").number == 2
    assert_in_step(sessions, store)
    # A link to another model's version is refused by the key itself.
    with pytest.raises(Exception, match="fk_model_alias_version"):
        execute(
            sessions,
            """UPDATE pixref.model_alias SET model_version_id = (SELECT min(id) FROM pixref.model_version)
               WHERE model_id = (SELECT id FROM pixref.model WHERE name = 'other')""",
        )


def test_what_is_not_there(sessions: Sessions, register: Registering) -> None:
    register()
    for wanted in ({"version": 9}, {"alias": "challenger"}):
        with pytest.raises(NotFound):
            find_version(sessions, "digits", **wanted)
    with pytest.raises(NotFound):
        find_version(sessions, "nobody")
    for hostile in ("a\x00b", "", "\x1b"):
        with pytest.raises(Invalid):
            find_version(sessions, hostile)
        with pytest.raises(Invalid):
            find_version(sessions, "digits", alias=hostile)
    with pytest.raises(Invalid, match="not both"):
        find_version(sessions, "digits", version=1, alias="champion")


def test_a_refused_file_changes_nothing(register: Registering, sessions: Sessions, store: ObjectStore, tmp_path: Path) -> None:
    broken = tmp_path / "broken.keras"
    broken.write_bytes(b"no archive")
    options: dict[str, Any] = {
        "labels": ["a"],
        "preprocessing": None,
        "metrics": {},
        "actor": register.actor,
        "work_dir": tmp_path,
    }
    with pytest.raises(BadModel):
        register_model(sessions, store, broken, name="digits", **options)
    with pytest.raises(BadModel, match="same label"):
        register_model(sessions, store, KERAS, name="digits", **{**options, "labels": ["a", " a"]})
    for name in ("", "Big", "a b", "../x", "a" * 64, "a\n"):
        with pytest.raises(Invalid, match="name"):
            register(name=name)
    with pytest.raises(BadModel, match="softmax"):
        register(probabilities=False)
    for table in ("model", "model_version", "label", "object_deletion"):
        assert one(sessions, f"SELECT count(*) FROM pixref.{table}") == 0
    assert objects(store) == set()
    assert {path.name for path in tmp_path.iterdir()} <= {"broken.keras", "0.keras"}


@pytest.mark.parametrize(
    "error", [StoreUnavailable("told to", "bucket", "endpoint"), KeyboardInterrupt()], ids=["fails", "killed"]
)
def test_an_interrupted_registration_is_swept(
    register: Registering, sessions: Sessions, store: ObjectStore, error: BaseException
) -> None:
    for hook in ("before", "after"):
        with pytest.raises(type(error)):
            register(store=StepStore(store, **{hook: raising(error, at="put")}))
        assert list_versions(sessions) == []
        with pytest.raises(NotFound):
            find_version(sessions, "digits")
        sweep(sessions, store)
        expire_leases(sessions)
        sweep(sessions, store)
        assert_in_step(sessions, store)
        assert rows(sessions, "SELECT id FROM pixref.model_version") == []
    assert register() == 1
    assert find_version(sessions, "digits").number == 1
    assert_in_step(sessions, store)


def test_a_registration_that_the_sweep_overtakes_says_so(register: Registering, sessions: Sessions, store: ObjectStore) -> None:
    def overtake(_step: str) -> None:
        expire_leases(sessions)
        sweep(sessions, store)

    with pytest.raises(UploadInterrupted):
        register(store=StepStore(store, before=overtake))
    assert list_versions(sessions) == []


def test_two_registrations_at_once_get_two_numbers(register: Registering, sessions: Sessions, store: ObjectStore) -> None:
    assert sorted(together(3, lambda index: register(variant=index))) == [1, 2, 3]
    assert one(sessions, "SELECT count(*) FROM pixref.model_alias") == 1
    assert_in_step(sessions, store)


class CountingStore(StepStore):
    def __init__(self, store: ObjectStore) -> None:
        self.gets = 0
        super().__init__(store, before=self._count)

    def _count(self, step: str) -> None:
        self.gets += step == "get"


def test_a_herd_on_a_cold_model_loads_it_once(register: Registering, sessions: Sessions, store: ObjectStore) -> None:
    register()
    counting = CountingStore(store)
    server = ModelServer(sessions, counting)
    loaded = together(16, lambda _: server.get(ModelRef("digits")))
    assert counting.gets == 1
    assert len({id(each.runtime) for each in loaded}) == 1


def test_a_file_that_is_missing_or_altered_is_not_run(register: Registering, sessions: Sessions, store: ObjectStore) -> None:
    register()
    key = find_version(sessions, "digits").runs.key
    data = store.get_object(key)
    for altered in (data[:-1] + b"\0", data[:100], data + b"more"):
        store.delete_object(key)
        store.put_object(key, io.BytesIO(altered), size=len(altered), sha256=sha256(altered), media_type="x/y")
        with pytest.raises(ModelCorrupt, match="register"):
            ModelServer(sessions, store).get(ModelRef("digits"))
        assert [each.damage for each in list_versions(sessions)] == ["corrupt"]
    store.delete_object(key)
    server = ModelServer(sessions, store)
    with pytest.raises(ModelUnavailable):
        server.get(ModelRef("digits"))
    assert [each.damage for each in list_versions(sessions)] == ["lost"]
    # The same server works again as soon as the file is back.
    store.put_object(key, io.BytesIO(data), size=len(data), sha256=sha256(data), media_type="x/y")
    assert server.get(ModelRef("digits")).artifact.number == 1


def test_the_same_file_heals_a_damaged_version(register: Registering, sessions: Sessions, store: ObjectStore) -> None:
    register()
    before = find_version(sessions, "digits")
    store.delete_object(before.runs.key)
    with pytest.raises(ModelUnavailable):
        ModelServer(sessions, store).get(ModelRef("digits"))
    with pytest.raises(StoreUnavailable):
        register(store=StepStore(store, after=raising(StoreUnavailable("gone", "b", "e"), at="put")))
    assert [each.damage for each in list_versions(sessions)] == ["lost"]
    assert register() == 1
    after = find_version(sessions, "digits")
    assert (after.version_id, after.runs.sha256) == (before.version_id, before.runs.sha256)
    assert after.runs.key != before.runs.key
    assert [each.damage for each in list_versions(sessions)] == [None]
    assert ModelServer(sessions, store).get(ModelRef("digits")).artifact.number == 1
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)


def test_an_overtaken_healing_changes_nothing(register: Registering, sessions: Sessions, store: ObjectStore) -> None:
    register()
    store.delete_object(find_version(sessions, "digits").runs.key)
    with pytest.raises(ModelUnavailable):
        ModelServer(sessions, store).get(ModelRef("digits"))

    def overtake(step: str) -> None:
        if step == "put":
            execute(sessions, "UPDATE pixref.object_deletion SET due_at = now() - interval '1 s'")
            sweep(sessions, store)

    with pytest.raises(UploadInterrupted):
        register(store=StepStore(store, after=overtake))
    assert [each.damage for each in list_versions(sessions)] == ["lost"]
    assert register() == 1
    sweep(sessions, store)
    assert_in_step(sessions, store)


def test_the_same_file_with_other_labels_or_another_recipe_is_another_version(
    register: Registering, sessions: Sessions, store: ObjectStore
) -> None:
    assert register() == 1
    assert register() == 1
    assert register(labels=[str(9 - digit) for digit in range(10)]) == 2
    assert register(preprocessing=dataclasses.replace(register.vetted.preprocessing, invert="never")) == 3
    assert register() == 1
    assert find_version(sessions, "digits", version=2).labels[0] == "9"
    assert_in_step(sessions, store)
