"""The pages as a browser without JavaScript sees them: sign-in, roles, forms, uploads, filters, errors."""

import io
import re
import struct
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, func, select
from werkzeug.test import TestResponse

from schema.session import Sessions, open_engine
from schema.tables import Image
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.app import create_app
from service.embedded.ports import free_port
from service.models.registration import register_model
from service.models.spec import InputSpec, Preprocessing
from service.models.vetting import VettedModel
from service.pictures.search import get_image
from service.pictures.upload import Description, upload_image
from service.png import PngLimits
from service.settings import Settings
from service.web.pages.words import byte_size, input_in_words, recipe_in_words
from storage.minio_store import MinioStore
from tests.conftest import MODELS
from tests.pngs import exif_block, png

Keep = Callable[..., int]
HOSTILE = "\"><script>alert('x')</script>"


@pytest.fixture
def keep(sessions: Sessions, store: MinioStore, limits: PngLimits, actor: Actor) -> Keep:
    """Keeps a picture by the use case and returns its id."""

    def keep_one(seed: int = 1, **description: Any) -> int:
        described = Description(**description)
        return upload_image(sessions, store, png(seed=seed), described, limits=limits, source="api", actor=actor).image_id

    return keep_one


@pytest.fixture
def no_store(settings: Settings) -> MinioStore:
    """A bucket at an address where nothing listens."""
    return MinioStore(f"http://127.0.0.1:{free_port()}", bucket="pixref", access_key="nobody", secret_key="nobody-home")


def signed_in(app: Flask, sessions: Sessions, role: Role = Role.EDITOR) -> FlaskClient:
    """Return a client with a session cookie, as a browser has it."""
    client = app.test_client()
    token = create_token(sessions, name=f"browser {role}", role=role)
    assert client.get("/sign-in", query_string={"token": token}).status_code == 303
    return client


def csrf_of(client: FlaskClient, path: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def files(*pairs: tuple[str, bytes]) -> list[tuple[io.BytesIO, str]]:
    return [(io.BytesIO(data), name) for name, data in pairs]


def send(client: FlaskClient, *pairs: tuple[str, bytes]) -> TestResponse:
    """Post the upload form. The test client leaves the file open into which it spools a large body."""
    answer = client.post("/upload", data={"file": files(*pairs)})
    answer.request.environ["wsgi.input"].close()
    return answer


def count_images(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(Image)) or 0


def outcomes(answer: TestResponse) -> list[str]:
    """Return the badge of every file on the result page."""
    return re.findall(r'<span class="badge [\w-]+">([\w ]+)</span>\s*</li>', answer.text)


class TestSignIn:
    def test_the_link_signs_in_and_leaves_no_token_behind(self, app: Flask, sessions: Sessions) -> None:
        client = app.test_client()
        token = create_token(sessions, name="somebody", role=Role.VIEWER)
        answer = client.get("/sign-in", query_string={"token": token, "next": "/models"})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/models")
        assert token not in answer.headers["Set-Cookie"]
        page = client.get("/")
        assert page.status_code == 200
        assert "somebody" in page.text

    @pytest.mark.parametrize(
        "target",
        [
            "https://example.org/",
            "//example.org/",
            "/\\example.org",
            "\\\\example.org",
            "/\t/example.org",
            "\n//example.org",
            "javascript:alert(1)",
            "models",
            "///example.org",
            "/%09/\u2028",
            "//[",
        ],
    )
    def test_no_link_leads_elsewhere(self, app: Flask, sessions: Sessions, target: str) -> None:
        token = create_token(sessions, name="somebody", role=Role.VIEWER)
        answer = app.test_client().get("/sign-in", query_string={"token": token, "next": target})
        assert answer.headers["Location"] == "/"

    def test_an_unknown_token_is_told_so(self, anonymous_client: FlaskClient) -> None:
        answer = anonymous_client.get("/sign-in?token=pixref_wrong")
        assert answer.status_code == 401
        assert "unknown, revoked or expired" in answer.text
        assert anonymous_client.get("/").status_code == 302

    def test_the_form(self, app: Flask, sessions: Sessions) -> None:
        client = app.test_client()
        token = create_token(sessions, name="somebody", role=Role.EDITOR)
        form = {"token": f" {token} ", "csrf_token": csrf_of(client, "/sign-in?next=/upload")}
        answer = client.post("/sign-in?next=/upload", data=form)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/upload")
        assert client.get("/sign-in?next=/models").headers["Location"] == "/models"

    def test_the_form_refuses_nothing_and_nonsense(self, app: Flask) -> None:
        client = app.test_client()
        csrf = csrf_of(client, "/sign-in")
        assert client.post("/sign-in", data={"token": "nonsense\x00", "csrf_token": csrf}).status_code == 401
        assert "Type your token" in client.post("/sign-in", data={"csrf_token": csrf}).text

    def test_signing_out_ends_the_session(self, app: Flask, sessions: Sessions) -> None:
        client = signed_in(app, sessions)
        answer = client.post("/sign-out", data={"csrf_token": csrf_of(client, "/")})
        assert answer.headers["Location"] == "/sign-in"
        assert client.get("/").headers["Location"] == "/sign-in?next=/"


class TestAccess:
    EDITING = ("label", "tags", "predict", "delete")

    def test_strangers_are_sent_to_sign_in(self, anonymous_client: FlaskClient, keep: Keep) -> None:
        image_id = keep()
        for path in ("/", f"/images/{image_id}", f"/images/{image_id}/delete", "/upload", "/models"):
            answer = anonymous_client.get(path)
            assert (answer.status_code, answer.headers["Location"]) == (302, f"/sign-in?next={path}"), path
        for path in ("/upload", *(f"/images/{image_id}/{name}" for name in self.EDITING)):
            assert anonymous_client.post(path).status_code == 401, path

    def test_viewers_look_and_touch_nothing(self, viewer_client: FlaskClient, keep: Keep) -> None:
        image_id = keep(label="7", tags=["a"])
        for path in ("/", f"/images/{image_id}", "/models"):
            page = viewer_client.get(path)
            assert page.status_code == 200, path
            assert re.findall(r'<form[^>]+method="post"[^>]+action="([^"]+)"', page.text) == ["/sign-out"], path
        for path in ("/upload", f"/images/{image_id}/delete"):
            assert viewer_client.get(path).status_code == 403, path
        for path in ("/upload", *(f"/images/{image_id}/{name}" for name in self.EDITING)):
            assert viewer_client.post(path).status_code == 403, path

    def test_no_form_is_taken_without_its_token(self, app: Flask, sessions: Sessions, keep: Keep) -> None:
        image_id = keep(label="7")
        client = signed_in(app, sessions)
        for path in ("/upload", "/sign-in", "/sign-out", *(f"/images/{image_id}/{name}" for name in self.EDITING)):
            answer = client.post(path, data={"label": "8"})
            assert answer.status_code == 400, path
            assert "The form has expired" in answer.text, path
        assert get_image(sessions, image_id).label == "7"

    def test_every_page_has_the_strict_policy_and_nothing_inline(self, client: FlaskClient, keep: Keep, mnist_model: int) -> None:
        image_id = keep(label="7", tags=["a"], attributes={"camera": "M3"})
        client.post(f"/images/{image_id}/predict", data={"model": f"{mnist_model}:mnist"})
        for path in ("/", f"/images/{image_id}", f"/images/{image_id}/delete", "/upload", "/models", "/nowhere"):
            page = client.get(path)
            assert "unsafe" not in page.headers["Content-Security-Policy"]
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]+src=)", page.text), path


class TestGallery:
    def test_empty_teaches(self, client: FlaskClient, viewer_client: FlaskClient) -> None:
        assert "pixref load mnist" in client.get("/").text
        assert "/upload" not in viewer_client.get("/").text

    def test_filters_show_as_badges_that_take_them_off(self, client: FlaskClient, keep: Keep) -> None:
        keep(1, label="giraffe", tags=["zoo", "tall"], split="train", original_name="one.png")
        keep(2, label="giraffe", tags=["zoo"], split="test", original_name="two.png")
        page = client.get("/?label=giraffe&tag=zoo&tag=tall&split=train").text
        assert "one.png" in page
        assert "two.png" not in page
        without = [unescape(address) for address in re.findall(r'class="filter-badge" href="([^"]+)"', page)]
        assert without == [
            "/?tag=zoo&tag=tall&split=train",
            "/?label=giraffe&tag=tall&split=train",
            "/?label=giraffe&tag=zoo&split=train",
            "/?label=giraffe&tag=zoo&tag=tall",
        ]
        assert 'name="tag" value="tall"' in page
        assert "No picture matches" in client.get("/?label=zebra").text

    def test_predicted(self, client: FlaskClient, keep: Keep, mnist_model: int) -> None:
        image_id = keep()
        client.post(f"/images/{image_id}/predict", data={"model": f"{mnist_model}:mnist"})
        said = re.search(r'class="prediction-label">(\d)<', client.get(f"/images/{image_id}").text)
        assert said is not None
        assert f"/images/{image_id}" in client.get(f"/?predicted={said[1]}").text
        assert "No picture matches" in client.get(f"/?predicted={(int(said[1]) + 1) % 10}").text

    def test_empty_fields_leave_the_address(self, client: FlaskClient) -> None:
        for query in ("label=7&tag=a+b&tag=", "label=7&tag=a+b&split=&predicted=+&after="):
            answer = client.get(f"/?{query}")
            assert (answer.status_code, answer.headers["Location"]) == (302, "/?label=7&tag=a+b")

    @pytest.mark.parametrize("query", ["label=%00", "tag=a%00", "split=A+B", "after=nonsense", f"label={'x' * 201}"])
    def test_what_cannot_be_looked_for_is_said(self, client: FlaskClient, query: str) -> None:
        answer = client.get(f"/?{query}")
        assert answer.status_code == 422
        assert "The request is not valid" in answer.text

    def test_pages_follow_each_other(self, client: FlaskClient, keep: Keep) -> None:
        ids = [keep(seed, label="7") for seed in range(61)]
        first = client.get("/?label=7").text
        assert re.findall(r'class="tile" href="/images/(\d+)[?"]', first) == [str(image_id) for image_id in reversed(ids[1:])]
        assert "Previous" not in first
        following = re.search(r'rel="next" href="([^"]+)"', first)
        assert following is not None
        second = client.get(unescape(following[1])).text
        assert re.findall(r'class="tile" href="/images/(\d+)[?"]', second) == [str(ids[0])]
        assert 'href="/?label=7">« First' in second
        assert "Next" not in second
        before = re.search(r'rel="prev" href="([^"]+)"', second)
        assert before is not None
        back = client.get(unescape(before[1])).text
        assert re.findall(r'class="tile" href="/images/(\d+)[?"]', back) == [str(image_id) for image_id in reversed(ids[1:])]
        assert 'rel="prev"' not in back

    def test_the_gallery_takes_the_filter_of_lists(self, client: FlaskClient, keep: Keep) -> None:
        labelled, bare = keep(1, label="7"), keep(2)
        for query, shown in (
            ("unlabelled=true", [bare]),
            ("unlabelled=false", [labelled]),
            ("min_width=1&created_from=2020-01-01", [bare, labelled]),
            ("any_tag=a&any_tag=b", []),
            ("sort=id", [labelled, bare]),
        ):
            page = client.get(f"/?{query}")
            assert page.status_code == 200, page.text
            assert re.findall(r'class="tile" href="/images/(\d+)[?"]', page.text) == [str(image_id) for image_id in shown]
            for name, value in (pair.split("=") for pair in query.split("&")):
                assert (f'name="{name}" value="{value}"' in page.text) == (name != "sort")

    def test_thumbnails_come_by_one_query_and_without_the_bucket(
        self, settings: Settings, database_url: str, no_store: MinioStore, keep: Keep, client: Any
    ) -> None:
        for seed in range(3):
            keep(seed)
        statements: list[str] = []

        class Noting(psycopg2.extensions.cursor):
            def execute(self, query: Any, vars: Any = None) -> None:
                statements.append(query)
                super().execute(query, vars)

        engine = open_engine(database_url)
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "cursor_factory", Noting))
        bare = create_app(settings, sessions=Sessions(engine), store=no_store)
        page = bare.test_client().get("/", headers={"Authorization": f"Bearer {client.token}"})
        engine.dispose()
        assert page.text.count('src="data:image/png;base64,') == 3
        assert sum("EXECUTE pixref_page_" in str(statement) for statement in statements) == 1
        assert sum("pixref.thumbnail" in str(statement) for statement in statements) == 1, "which was prepared once"


class TestImage:
    def test_what_the_file_says_of_itself(
        self, client: FlaskClient, sessions: Sessions, store: MinioStore, limits: PngLimits, actor: Actor
    ) -> None:
        said = [
            (b"eXIf", exif_block({0x0110: (2, 9, b"Zenit <b>")}, sub={0x829A: (5, 1, struct.pack("<II", 1, 250))})),
            (b"tEXt", b"Author\0<i>somebody"),
        ]
        kept = upload_image(sessions, store, png(before=said), Description(), limits=limits, source="api", actor=actor)
        page = client.get(f"/images/{kept.image_id}").text
        assert "1/250 s" in page
        assert "&lt;i&gt;somebody" in page
        assert "<i>" not in page
        assert "Zenit &lt;b&gt;" in page

    def test_shows_everything_known(self, client: FlaskClient, keep: Keep) -> None:
        image_id = keep(1, label="giraffe", tags=["zoo"], split="train", original_name="Λόγος.png", attributes={"camera": ["M3"]})
        page = unescape(client.get(f"/images/{image_id}").text)
        for text in (
            "Λόγος.png",
            "28 by 28 pixels",
            "1, 8 bit each",
            "giraffe",
            "zoo",
            "train",
            '["M3"]',
            "by <bdi>tester<",
            "UTC",
        ):
            assert text in page
        assert f'src="/api/v1/images/{image_id}/file"' in page
        assert 'src="data:image/png;base64,' in page
        assert f'href="/api/v1/images/{image_id}/file?inline=0"' in page

    @pytest.mark.parametrize("image_id", [0, 5, 2**63, 10**30])
    def test_unknown(self, client: FlaskClient, image_id: int) -> None:
        for path in (f"/images/{image_id}", f"/images/{image_id}/delete"):
            assert client.get(path).status_code == 404

    def test_label_is_set_and_taken_off(self, client: FlaskClient, keep: Keep, sessions: Sessions) -> None:
        image_id = keep()
        for form, expected in [
            ({"label": " a  b "}, "a b"),
            ({"label": "c", "clear": "1"}, None),
            ({"label": "d"}, "d"),
            ({}, None),
        ]:
            answer = client.post(f"/images/{image_id}/label", data=form)
            assert (answer.status_code, answer.headers["Location"]) == (303, f"/images/{image_id}")
            assert get_image(sessions, image_id).label == expected
        page = client.get(f"/images/{image_id}").text
        assert "History: 4 changes" in page
        assert client.post(f"/images/{image_id}/label", data={"label": "\x00"}).status_code == 422

    def test_tags_are_added_and_removed(self, client: FlaskClient, keep: Keep, sessions: Sessions) -> None:
        image_id = keep(tags=["with, comma", "old"])
        shown = {"tag": ["with, comma", "old"]}
        client.post(f"/images/{image_id}/tags", data={**shown, "add": " new ,, newer"})
        assert get_image(sessions, image_id).tags == ["new", "newer", "old", "with, comma"]
        client.post(f"/images/{image_id}/tags", data={**shown, "remove": "old"})
        assert get_image(sessions, image_id).tags == ["with, comma"]

    def test_predictions_of_the_chosen_version(self, client: FlaskClient, keep: Keep, mnist_model: int) -> None:
        image_id = keep(label="no digit")
        answer = client.post(f"/images/{image_id}/predict", data={"model": f"{mnist_model}:mnist"}, follow_redirects=True)
        assert answer.text.count("<meter") == 10
        assert "champion" in answer.text
        assert "differs from the label" in answer.text
        for wrong, status in [("", 422), ("mnist", 422), ("x:mnist", 422), ("9:mnist", 404), (f"{mnist_model}:other", 404)]:
            assert client.post(f"/images/{image_id}/predict", data={"model": wrong}).status_code == status, wrong

    def test_models_can_be_chosen(
        self,
        client: FlaskClient,
        keep: Keep,
        sessions: Sessions,
        store: MinioStore,
        actor: Actor,
        mnist_model: int,
        vetted_mnist: VettedModel,
        tmp_path: Path,
    ) -> None:
        register_model(
            sessions,
            store,
            MODELS / "mnist.keras",
            name="other",
            labels=list("abcdefghij"),
            preprocessing=None,
            metrics={},
            actor=actor,
            work_dir=tmp_path,
            vet=lambda *_args, **_kwargs: vetted_mnist,
        )
        image_id = keep()
        page = client.get(f"/images/{image_id}").text
        choices = re.findall(r'<option value="(\d+:\w+)">', page)
        assert choices == [f"{mnist_model}:mnist", "1:other"]
        for choice in choices:
            page = client.post(f"/images/{image_id}/predict", data={"model": choice}, follow_redirects=True).text
        said = re.findall(r'class="prediction-label">(\w)<', page)
        assert said[1] == "abcdefghij"[int(said[0])]

    def test_delete_asks_first(self, client: FlaskClient, keep: Keep) -> None:
        image_id = keep(original_name="gone.png")
        assert "gone.png" in client.get(f"/images/{image_id}/delete").text
        assert client.get(f"/images/{image_id}").status_code == 200
        answer = client.post(f"/images/{image_id}/delete")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")
        assert client.get(f"/images/{image_id}").status_code == 404


class TestUpload:
    def test_each_file_has_its_own_outcome(self, client: FlaskClient, keep: Keep, sessions: Sessions) -> None:
        known = keep(1)
        form = {
            "label": "giraffe",
            "tags": "zoo, tall",
            "split": "train",
            "file": files(
                ("bad.png", b"not a picture"), ("known.png", png(seed=1)), ("new.png", png(seed=2)), ("again.png", png(seed=2))
            ),
        }
        answer = client.post("/upload", data=form)
        assert answer.status_code == 200
        assert outcomes(answer) == ["refused", "already here", "new", "already here"]
        assert "bad_image" in answer.text
        ids = [int(found) for found in re.findall(r'href="/images/(\d+)"', answer.text)]
        assert (ids[0], ids[2]) == (known, ids[1])
        info = get_image(sessions, ids[1])
        assert (info.original_name, info.label, info.tags, info.split) == ("new.png", "giraffe", ["tall", "zoo"], "train")

    def test_a_single_file_gives_its_own_status(self, client: FlaskClient, settings: Settings, sessions: Sessions) -> None:
        cut, too_large = ("cut.png", png(seed=1)[:-20]), ("large.png", bytes(settings.max_upload_bytes + 1))
        assert send(client, cut).status_code == 422
        refused = send(client, too_large)
        assert refused.status_code == 413
        assert "PIXREF_MAX_UPLOAD_MIB" in refused.text
        assert send(client, cut, too_large).status_code == 422
        assert count_images(sessions) == 0

    @pytest.mark.parametrize(
        "form",
        [{}, {"file": files(("", b""))}, {"file": files(("a.png", png(seed=1))), "label": "x" * 201}],
        ids=["none", "empty", "label"],
    )
    def test_a_wrong_form_keeps_nothing(self, client: FlaskClient, sessions: Sessions, form: dict[str, Any]) -> None:
        answer = client.post("/upload", data=form, content_type="multipart/form-data")
        assert answer.status_code == 422
        assert "The request is not valid" in answer.text
        assert count_images(sessions) == 0

    def test_a_store_that_is_down_is_asked_once(
        self, settings: Settings, sessions: Sessions, no_store: MinioStore, client: Any
    ) -> None:
        bare = create_app(settings, sessions=sessions, store=no_store)
        pictures = files(*((f"{seed}.png", png(seed=seed)) for seed in range(3)))
        answer = bare.test_client().post("/upload", data={"file": pictures}, headers={"Authorization": f"Bearer {client.token}"})
        assert answer.status_code == 503
        assert outcomes(answer) == ["try again", "not tried", "not tried"]
        assert count_images(sessions) == 1, "one attempt, which the sweep removes"


class TestText:
    def test_what_people_typed_is_escaped_everywhere(self, client: FlaskClient, keep: Keep) -> None:
        name = HOSTILE.replace("/", "")
        image_id = keep(1, label=HOSTILE, tags=[HOSTILE], original_name=name, attributes={HOSTILE: HOSTILE})
        sent = send(client, (name, b"not a picture"))
        pages = [client.get(path) for path in ("/", f"/images/{image_id}", f"/images/{image_id}/delete", "/upload")]
        found = client.get("/", query_string={"label": HOSTILE, "tag": HOSTILE})
        flashed = client.post(f"/images/{image_id}/label", data={"label": HOSTILE}, follow_redirects=True)
        refused = client.get("/", query_string={"label": HOSTILE + "\x00"})
        for page in (*pages, sent, found, flashed, refused):
            assert "<script>" not in page.text, page.request.path
        assert escape(HOSTILE) in found.text.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")

    def test_sizes(self) -> None:
        assert [byte_size(size) for size in (0, 1, 999, 1000, 25_281, 999_949, 999_950, 10**9, 10**13)] == [
            "0 bytes",
            "1 byte",
            "999 bytes",
            "1.0 kB",
            "25.3 kB",
            "999.9 kB",
            "1.0 MB",
            "1.0 GB",
            "10,000.0 GB",
        ]

    def test_recipes(self) -> None:
        assert input_in_words(InputSpec(height=28, width=30, channels=1)) == "30 by 28 pixels, grey"
        recipe = Preprocessing(
            color_mode="rgb",
            resize="stretch",
            scale=2.0,
            offset=-1.0,
            mean=(0.5, 0.25, 0.0),
            std=(1.0, 2.0, 4.0),
            invert="always",
        )
        assert recipe_in_words(recipe) == [
            "Transparent pixels are laid over grey level 255",
            "Colours become RGB",
            "Levels are inverted",
            "Pictures of another size are stretched to the size, aspect given up (bilinear interpolation)",
            "Levels from 0 to 255 are multiplied by 2, then -1",
            "The mean 0.5, 0.25, 0 is taken off",
            "The result is divided by 1, 2, 4",
        ]
        assert recipe_in_words(Preprocessing(color_mode="grayscale"))[-1] == "Levels from 0 to 255 are divided by 255"


class TestOtherPages:
    def test_models(self, client: FlaskClient, mnist_model: int) -> None:
        page = client.get("/models").text
        for text in (f"version {mnist_model}", "champion", "28 by 28 pixels, grey", "99.", "Levels are inverted when", "SHA-256"):
            assert text in page

    def test_models_empty_teaches(self, client: FlaskClient) -> None:
        assert "pixref init" in client.get("/models").text

    def test_errors_are_pages_with_the_request_id(self, client: FlaskClient) -> None:
        answer = client.get("/nowhere", headers={"X-Request-Id": "my-request.1"})
        assert answer.status_code == 404
        assert "my-request.1" in answer.text

    def test_the_error_page_needs_no_database(self, settings: Settings, store: MinioStore) -> None:
        down = open_engine(f"postgresql://nobody:nothing@127.0.0.1:{free_port()}/nowhere")
        app = create_app(settings, sessions=Sessions(down), store=store)
        answer = app.test_client().get("/", headers={"Authorization": "Bearer pixref_anything"})
        assert answer.status_code == 503
        assert "database_unavailable" in answer.text
        assert "Try again" in answer.text
