"""Whatever people type stays text: in every field, on every page, in what scripts make of it; and no name, however long or whichever way it is
written, makes a page wider than the screen or turns round what stands beside it.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Page, Request, Response, expect
from sqlalchemy import create_engine
from sqlalchemy.engine import URL

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token, local_actor
from service.embedded.minio import MinioServer
from service.learning.evaluating import request_evaluation
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.pictures.bulk import Candidate, upload_many
from service.pictures.bulk_changes import Choice, label_many
from service.pictures.delete import delete_image
from service.pictures.filter import ImageFilter
from service.pictures.labels import set_label
from service.pictures.merging import merge_words
from service.pictures.upload import Description
from service.pictures.words import Kind, WordChange, change_word, create_word, find_word
from service.png import PngLimits
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.web.pages.learning import MATRIX_MAX
from service.work.ledger import create_job
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage, Site
from tests.browser.every_page import addresses
from tests.factories import add_image, execute, make_png
from tests.pngs import exif_block, png

# Ways out of each place that a text can stand in: an element, an attribute with either quote, a title, a field, a script, a style, JSON, a
# template, an address. Each would open a dialog or leave an element behind.
MARKUP = [
    "<img src=x onerror=alert(1)>",
    "\"><script>alert('2')</script>",
    "' autofocus onfocus=alert(3) x='",
    "</title></textarea></script></style></noscript><svg onload=alert(4)>",
    "javascript:alert(5)//",
    "{{7*7}}${7*7}<%= 7*7 %>",
    '","x":"</script><script>alert(6)</script>',
    "-->]]><b>bold</b>&lt;i&gt;&amp;&#x3c;",
    "`;alert(8)//\\'\\\"",
    "__proto__",
]
# What turns writing round and does not say where that ends, is written from the right, joins characters, or has no place to break.
RIGHT = ["\u202egnp.exe \u202dx", "زرافة ٥ (giraffe) 7", "\u05d6\u05d1\u05e8\u05d4, 12"]
OTHER = ["🦒👩\u200d👩\u200d👧\u200d👦 🏳️\u200d🌈", "e\u0301\u0302\u0303\u0304\u0316 a\u200bb\u200dc\ufeff", "null"]
LONG = ["W" * 200, "\u05e9" * 200, "🦒" * 200]
# As hard to pack as text can be.
MIXED = "".join(
    chr(0x4E00 + int.from_bytes(hashlib.sha256(bytes([n % 256, n // 256])).digest()[:2]) % 20_000) for n in range(2_000)
)
WORDS = [*MARKUP, *RIGHT, *OTHER, *LONG]
HUGE = 2**53 - 10_000
MOST = 2**63 - 1

# What a text could have become.
GROWN = (
    ":is(body, head) :is([onerror], [onload], [onfocus], [onclick], img[src='x'], svg[onload], b, i, iframe, object, embed, base, style)"
    ", body script, [autofocus]:not(#token), [href^='javascript:' i], [action^='javascript:' i], [src^='javascript:' i]"
)
# Every text of the page that stands alone in its element, and every field's value.
TEXTS = """() => [...document.querySelectorAll('body *')].flatMap(each => [
    each.childElementCount || each.matches('script, noscript') ? '' : each.textContent,
    each.matches('input, textarea, option, button') ? each.value : '', each.getAttribute('title') ?? ''])
    .map(text => text.replace(/\\s+/g, ' ').trim())"""
# Each text from the right, or that turns what follows, with the smallest part of the page that is laid out on its own: what else is in it?
NEIGHBOURS = r"""() => {
    const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        if (!/[\u0590-\u08ff\u202a-\u202e]/.test(node.data) || node.parentElement.closest('textarea, select, datalist, noscript')) continue;
        let part = node.parentElement;
        while (!/isolate|plaintext/.test(getComputedStyle(part).unicodeBidi) && getComputedStyle(part).display.startsWith('inline'))
            part = part.parentElement;
        found.push([part.textContent.replace(/\s+/g, ' ').trim().replace(/^“|”$/g, ''), part.outerHTML.slice(0, 200)]);
    }
    return found;
}"""
WIDTHS = (1280, 390)


def spaced(text: str) -> str:
    """Return a text for comparison: composed as names are kept, and runs of white space one space, as which JavaScript counts some marks."""
    return re.sub(r"[\s\ufeff]+", " ", unicodedata.normalize("NFC", text)).strip()


def file_name(word: str) -> str:
    """Return a word as the name of a file, which has neither folders nor more than 255 bytes."""
    stem = word.replace("/", "|").replace("\\", "|").encode()[:200].decode(errors="ignore")
    return f"{stem}.png"


def said_by_file(word: str, seed: int) -> bytes:
    """Make a picture whose chunks say a word: a text under an unfriendly keyword, and three fields of EXIF."""
    value = (2, len(word.encode()) + 1, word.encode() + b"\0")
    exif = exif_block({0x010F: value, 0x0110: value, 0x0131: value})
    keyword = b"<b>k" + bytes([0xE9]) + b"</b>"
    return png(seed=seed, before=[(b"iTXt", keyword + b"\0\0\0\0\0" + word.encode()), (b"eXIf", exif)])


@dataclass
class Shelf:
    """What is there: the pictures by their words, and for each part of an address the id of something that has much to show."""

    images: dict[str, int]
    ids: dict[str, int]
    running: int
    failed: int


@pytest.fixture
def shelf(
    sessions: Sessions,
    store: MinioStore,
    door_url: str,
    admin_url: URL,
    register_mnist: Callable[[list[str]], int],
) -> Shelf:
    """Every kind of thing that people name, with names as unfriendly as they can be kept."""
    with create_engine(admin_url).begin() as connection:
        connection.exec_driver_sql(f"SELECT setval('pixref.image_id_seq', {HUGE})")
    actor = local_actor(sessions, MARKUP[1])
    versions = [register_mnist(WORDS[:10]), register_mnist(WORDS[-10:])]
    images = {}
    for place, word in enumerate(WORDS):
        others = [WORDS[(place + step) % len(WORDS)] for step in (1, 2, 3)]
        images[word] = add_image(
            sessions,
            store,
            actor,
            said_by_file(word, place + 1),
            label=word,
            tags=others,
            split="test" if place % 2 else "x" * 32,
            original_name=file_name(word),
            attributes={word: others[0], "count": 12345678901234567890, "share": 1e300},
        )
    # With so many labels more an evaluation lists the mistakes instead of drawing a matrix.
    more = [Candidate(make_png(8, 8), Description(label=f"~{number}")) for number in range(MATRIX_MAX - len(WORDS) + 1)]
    upload_many(sessions, store, more, limits=PngLimits(), source="test", actor=actor, refuse=pytest.fail)
    parts = Parts(sessions, store, Door(door_url, places(1)))
    for version in versions:
        for request in (request_predictions, request_evaluation):
            which = Selection(ImageFilter(split="test") if version == 1 and request is request_evaluation else None)
            assert do_job(parts, request(sessions, which, version=version, actor=actor))
    trashed = add_image(sessions, store, actor, label=LONG[1], original_name=file_name(RIGHT[0]))
    delete_image(sessions, trashed, keep=timedelta(days=7))
    for kind in Kind:
        described = find_word(sessions, kind, RIGHT[0], field="name")
        text = f"{MARKUP[0]}\n\n{MARKUP[3]}"
        change_word(sessions, kind, described.id, WordChange(frozenset({"description"}), description=text))
        for old in (f"old {RIGHT[0]}", f"old {MARKUP[7]}"):
            merge_words(sessions, kind, create_word(sessions, kind, old).id, described.id, actor=actor)
    set_label(sessions, images[RIGHT[1]], LONG[0], actor=actor)
    set_label(sessions, images[RIGHT[1]], RIGHT[1], actor=actor)
    asked = {"model": "mnist", "version": 1, "where": f"label = '{RIGHT[0]}'"}
    running, failed = (create_job(sessions, "predict", asked, actor=actor) for _ in range(2))
    execute(
        sessions,
        "UPDATE pixref.job SET state = 'running', runner = 'x', heartbeat_at = now(), total = :most, done = :most, failed = :most, message = :said"
        " WHERE id = :id",
        id=running,
        most=MOST,
        said=LONG[0] + MARKUP[0],
    )
    execute(
        sessions,
        "UPDATE pixref.job SET state = 'failed', finished_at = now(), error = CAST(:error AS jsonb), result = CAST(:result AS jsonb) WHERE id = :id",
        id=failed,
        error=json.dumps({"code": "bad", "detail": MARKUP[0] + LONG[0]}),
        result=json.dumps({LONG[0]: HUGE, MARKUP[0]: MARKUP[1]}),
    )
    execute(
        sessions,
        "UPDATE pixref.model_version SET metrics = metrics || CAST(:more AS jsonb)",
        more=json.dumps({MARKUP[0]: RIGHT[0], LONG[0]: LONG[1], "cost": 10**30}),
    )
    for name in (*WORDS, "z" * 200):
        create_token(sessions, name=name, role=Role.VIEWER)
    word_ids = [find_word(sessions, kind, RIGHT[0], field="name").id for kind in Kind]
    ids = {"image_id": images[RIGHT[1]], "job_id": failed, "evaluation_id": 1, "label_id": word_ids[0], "tag_id": word_ids[1]}
    return Shelf(images, ids, running, failed)


@dataclass
class Traffic:
    """Where requests went, and what was answered that never should be."""

    hosts: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("request", self._on_request)
        page.on("response", self._on_response)

    def _on_request(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).netloc)

    def _on_response(self, response: Response) -> None:
        if response.status >= 500:
            self.broken.append(f"{response.status} {response.url}")


@pytest.fixture
def traffic(site: Site, minio: MinioServer) -> Iterator[Traffic]:
    """What of the network pages are to be watched for; one that asked elsewhere, or got an error of the server's, fails the test."""
    seen = Traffic()
    yield seen
    assert seen.broken == []
    assert seen.hosts <= {"", urlsplit(site.address).netloc, urlsplit(minio.endpoint).netloc}


def texts(page: Page) -> set[str]:
    return {spaced(each) for each in page.evaluate(TEXTS)}


def grown(page: Page) -> list[str]:
    """Return what has become an element."""
    found: list[str] = page.locator(GROWN).evaluate_all("all => all.map(each => each.outerHTML.slice(0, 200))")
    return found


def disturbed(page: Page, known: set[str]) -> list[str]:
    """Return the parts of the page in which a text from the right, whole or cut at its end, stands beside other text."""
    return [part for text, part in page.evaluate(NEIGHBOURS) if not any(each.startswith(spaced(text)) for each in known)]


def too_wide(page: Page) -> list[str]:
    """Return at which widths the page is wider than the screen."""
    found = []
    size = page.viewport_size
    for width in sorted(WIDTHS, key=lambda width: size is not None and width != size["width"]):
        page.set_viewport_size({"width": width, "height": 900})
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append(
                page.evaluate(
                    """() => [innerWidth, ...[...document.querySelectorAll('main *, header *, footer *')].filter(each =>
                        each.getBoundingClientRect().right > document.documentElement.clientWidth
                        && !each.closest('.table-responsive, .facet, .sql-rows'))
                        .slice(0, 3).map(each => each.outerHTML.slice(0, 120))].join(' ')"""
                )
            )
    return found


# Forms of pages that an address alone does not show, and what is wrong with an address.
MORE = [
    *("/?" + urlencode({"label": word, "predicted": LONG[0], "model": "mnist"}) for word in (MARKUP[1], RIGHT[0], LONG[2])),
    "/?" + urlencode({"tag": WORDS}, doseq=True),
    "/?" + urlencode({"name": MARKUP[0], "name_prefix": MARKUP[1], "attributes": json.dumps({MARKUP[2]: RIGHT[0]})}),
    "/?" + urlencode({"any_tag": [RIGHT[0], LONG[0]], "no_tag": LONG[1:]}, doseq=True),
    "/predict?" + urlencode({"tag": [RIGHT[0], LONG[0]], "label": LONG[2]}, doseq=True),
    "/labels?" + urlencode({"q": MARKUP[0]}),
    "/tags?" + urlencode({"q": RIGHT[0]}),
    "/models/mnist/compare?one=1&other=2",
    "/models/mnist/compare?" + urlencode({"one": 1, "other": 2, "tag": MARKUP[1]}),
    "/evaluations?model=mnist",
    "/evaluations/2",
    "/review?queue=uncertain",
    "/review?queue=unlabelled",
    "/sign-in?" + urlencode({"next": "javascript:alert(1)"}),
    "/sql?" + urlencode({"query": f"SELECT '{MARKUP[0]}'", "params": json.dumps(MARKUP)}),
]
# These are answered with an error that says what was asked for.
WRONG = [
    "/?" + urlencode({"after": MARKUP[0]}),
    "/?" + urlencode({MARKUP[0]: MARKUP[1]}),
    "/?" + urlencode({"label": "W" * 100_000})[:4_000],
    "/predict?_scheme=javascript&_external=1&_anchor=x",
    "/review?" + urlencode({"model": MARKUP[0]}),
    f"/models/{quote(MARKUP[0], safe='')}/history",
    f"/models/{quote(MARKUP[2], safe='')}/compare",
    f"/nowhere/{quote(MARKUP[3])}",
    "/sign-in?" + urlencode({"token": MARKUP[1]}),
    "/?" + urlencode({"attributes": MARKUP[0]}),
    "/try?" + urlencode({"model": MARKUP[0]}),
    "/evaluations?" + urlencode({"model": MARKUP[0]}),
]


def test_what_these_tests_look_for_is_seen(open_page: OpenPage, complaints: Complaints) -> None:
    page = open_page(None)
    page.goto("/sign-in")
    page.evaluate(
        "text => document.querySelector('main').insertAdjacentHTML('beforeend', text)", MARKUP[0] + f"<p>a {RIGHT[0]} {LONG[0]}"
    )
    assert grown(page) != []
    assert disturbed(page, set(WORDS)) != []
    assert len(too_wide(page)) == len(WIDTHS)
    page.wait_for_timeout(100)
    assert any(each.startswith("console: policy: script-src-attr inline") for each in complaints.found), complaints.found
    complaints.found.clear()


@pytest.mark.timeout(300)
def test_every_page_shows_it_as_text(
    open_page: OpenPage, app: Flask, sessions: Sessions, shelf: Shelf, complaints: Complaints, traffic: Traffic
) -> None:
    page = open_page(None)
    traffic.watch(page)
    page.goto(f"/sign-in?token={create_token(sessions, name=RIGHT[0], role=Role.ADMIN)}")
    known = {spaced(word) for word in WORDS} | {spaced(file_name(word)) for word in WORDS}
    known |= {spaced(f"old {RIGHT[0]}"), spaced(f"label = '{RIGHT[0]}'")}
    image = f"/images/{shelf.ids['image_id']}"
    every = {spaced(word) for word in WORDS}
    wanted = {
        "/": every | {spaced(file_name(word)) for word in WORDS},
        "/labels": every,
        "/tags": every | {spaced(f"{MARKUP[0]} {MARKUP[3]}")},
        "/tokens": every,
        "/models": every,
        image: {spaced(each) for each in (RIGHT[1], RIGHT[2], *OTHER[:2], file_name(RIGHT[1]), LONG[0], MARKUP[1])}
        | {"“<b>ké</b>”"},
        "/trash": {spaced(LONG[1]), spaced(file_name(RIGHT[0]))},
        "/evaluations/2": every,
        "/?" + urlencode({"tag": WORDS}, doseq=True): every,
        f"/jobs/{shelf.failed}": {f"{MARKUP[0]}{LONG[0]}.", MARKUP[1], spaced(f"label = '{RIGHT[0]}'"), f"{HUGE:,}"},
        f"/jobs/{shelf.running}": {LONG[0] + MARKUP[0], f"{MOST:,} of {MOST:,}, {MOST:,} could not be done"},
    }
    found = []
    seen = {}
    pictures = [f"/images/{image_id}" for image_id in [*shelf.images.values()][::3]]
    for path in (*addresses(app, shelf.ids), f"/jobs/{shelf.running}", *pictures, *MORE, *WRONG):
        if path in WRONG:
            complaints.expected.append(path)
        page.goto(path)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        if page.locator("#facets").count():
            page.locator("#facet-lists .facet").first.wait_for()
        found += [f"{path}: has become {each}" for each in grown(page)]
        found += [f"{path}: too wide: {each}" for each in too_wide(page)]
        if not path.startswith("/sql"):
            found += [f"{path}: beside others: {each}" for each in disturbed(page, known)]
        seen[path] = texts(page)
    # Each of these shows few pictures, so all get one label.
    for word in LONG:
        label_many(sessions, Choice(wanted=ImageFilter(unlabelled=False)), word, actor=local_actor(sessions, MARKUP[1]))
        for path in ("/review", "/models/mnist/compare?one=1&other=2", "/evaluations/1", "/evaluations/2"):
            page.goto(path)
            found += [f"{path} where all are {word[:1]}…: too wide: {each}" for each in too_wide(page)]
    found += [f"{path} does not show {word!r}" for path, words in wanted.items() for word in words - seen[path]]
    assert not found, "\n".join(found)


@pytest.fixture
def named(sessions: Sessions, store: MinioStore, actor: Actor, register_mnist: Callable[[list[str]], int]) -> list[int]:
    """A few pictures with names that would become elements, and a model that sees nothing else; the newest first."""
    register_mnist(MARKUP)
    kept = [
        add_image(sessions, store, actor, label=word, tags=[MARKUP[3], RIGHT[0]], original_name=file_name(word), split="test")
        for word in (MARKUP[0], MARKUP[1], RIGHT[0])
    ]
    return kept[::-1]


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    page.wait_for_load_state()
    return page


def sound(page: Page) -> None:
    """Assert that nothing has become an element, that the page fits a phone, and that texts from the right stand alone."""
    assert grown(page) == []
    assert disturbed(page, {spaced(word) for word in WORDS} | {spaced(file_name(word)) for word in WORDS}) == []
    assert too_wide(page) == []
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})


def test_the_gallery_counts_changes_and_takes_back_as_text(
    open_page: OpenPage, named: list[int], complaints: Complaints, traffic: Traffic
) -> None:
    page = open_page(Role.EDITOR)
    traffic.watch(page)
    opened(page, "/")
    page.get_by_text("How many there are of each").click()
    lists = page.locator("#facet-lists")
    for word in (MARKUP[0], MARKUP[1], MARKUP[3], RIGHT[0]):
        expect(lists.get_by_role("link", name=word, exact=True).first).to_be_visible()
    sound(page)
    lists.get_by_role("link", name=MARKUP[1], exact=True).click()
    expect(page.locator(".filter-badge bdi")).to_have_text(MARKUP[1])
    expect(page.locator(".tile")).to_have_count(1)
    for action, word in (("Label", MARKUP[2]), ("Tag", MARKUP[1]), ("Tag", RIGHT[1]), ("Label", LONG[0])):
        opened(page, "/")
        page.locator(".tile-check").first.check()
        entry = page.get_by_label(f"{action} for the selected")
        entry.fill(word)
        entry.press("Enter")
        expect(page.locator("form[role=status] bdi")).to_have_text(word)
        sound(page)
        page.wait_for_load_state()
        page.keyboard.press("z")
        expect(page.get_by_text("1 picture is as before.")).to_be_visible()


def test_a_picture_is_named_labelled_tagged_and_predicted_as_text(
    open_page: OpenPage, named: list[int], complaints: Complaints, traffic: Traffic
) -> None:
    page = open_page(Role.EDITOR)
    traffic.watch(page)
    for word in (MARKUP[3], RIGHT[0], LONG[0]):
        opened(page, f"/images/{named[0]}")
        page.locator("input[name=label]").fill(word)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status").first).to_have_text(f"The label is {word}.")
        sound(page)
        page.locator("input[name=add]").fill(f"{word}, {RIGHT[1]}, {MARKUP[0]}")
        page.get_by_role("button", name="Add").click()
        expect(page.get_by_role("status").first).to_contain_text(MARKUP[0] if word != LONG[0] else "5 tags now")
        sound(page)
    # Together they are more than a cookie holds, in which the message travels.
    page.locator("input[name=add]").fill(",".join(MIXED[start : start + 200] for start in range(0, 1_800, 200)))
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("status").first).to_have_text("The picture has 14 tags now.")
    page.get_by_role("button", name=re.compile("^Predict")).click()
    expect(page.get_by_role("status").first).to_contain_text(" sees ")
    sound(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".png")


@pytest.mark.usefixtures("named")
def test_what_is_tried_and_reviewed_stays_text(
    open_page: OpenPage,
    sessions: Sessions,
    store: MinioStore,
    actor: Actor,
    tmp_path: Path,
    complaints: Complaints,
    traffic: Traffic,
) -> None:
    page = open_page(Role.EDITOR)
    traffic.watch(page)
    opened(page, "/try")
    file = tmp_path / file_name(MARKUP[0])
    file.write_bytes(make_png())
    page.locator("#file").set_input_files(file)
    expect(page.locator("#answer meter")).to_have_count(10)
    shown = page.locator("#answer .score-label").all_inner_texts()
    assert sorted(map(spaced, shown)) == sorted(map(spaced, MARKUP))
    sound(page)
    add_image(sessions, store, actor, make_png(seed=99), tags=[MARKUP[1]], original_name=file_name(MARKUP[1]))
    for word in (MARKUP[1], RIGHT[0], LONG[0]):
        opened(page, "/review?queue=unlabelled")
        page.locator("#other").fill(word)
        page.locator("#other").press("Enter")
        expect(page.locator(".review-last bdi").first).to_have_text(word)
        sound(page)
        page.wait_for_load_state()
        page.keyboard.press("z")
        expect(page.locator(".review-last")).to_have_count(0)


def test_what_is_uploaded_stays_text(
    open_page: OpenPage, sessions: Sessions, tmp_path: Path, complaints: Complaints, traffic: Traffic
) -> None:
    complaints.expected.append("/api/v1/images")
    folders = [MARKUP[0], RIGHT[0], LONG[0], "two\nlines"]
    for place, word in enumerate(folders):
        folder = tmp_path / "all" / file_name(word).removesuffix(".png")
        folder.mkdir(parents=True)
        (folder / file_name(word)).write_bytes(make_png())
        (folder / f"bad {place}\n<b>.png").write_bytes(b"no picture")
    page = open_page(Role.EDITOR)
    traffic.watch(page)
    opened(page, "/upload")
    page.locator("#folder").set_input_files(tmp_path / "all")
    expect(page.locator("#chosen")).to_contain_text("8 files in 4 folders")
    page.get_by_label("Each folder's name").check()
    page.get_by_label("Tags").fill(MARKUP[1])
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#summary")).to_contain_text("8 of 8 done")
    names = {spaced(each) for each in page.locator(".outcome-name").all_inner_texts()}
    assert {spaced(file_name(word)) for word in folders} <= names
    assert {spaced(each) for each in page.locator(".outcome-text .badge").all_inner_texts()} == {spaced(word) for word in folders}
    sound(page)
    plain = open_page(Role.EDITOR, java_script_enabled=False)
    plain.goto("/upload")
    plain.get_by_label("PNG files").set_input_files(
        [
            {"name": file_name(word), "mimeType": "image/png", "buffer": data}
            for word in (MARKUP[0], RIGHT[0])
            for data in (make_png(), b"bad")
        ]
    )
    plain.get_by_label("Label").fill(MARKUP[1])
    plain.get_by_role("button", name="Upload").click()
    assert {spaced(each) for each in plain.locator(".outcome-name").all_inner_texts()} == {
        spaced(file_name(word)) for word in (MARKUP[0], RIGHT[0])
    }
    sound(plain)


def ask(page: Page, query: str, params: str) -> None:
    """Ask a question on the SQL page by hand."""
    opened(page, "/sql")
    page.locator("summary", has_text="Parameters").click()
    page.locator("#params").fill(params)
    page.locator("#query").fill(query)
    page.get_by_role("button", name="Run").click()


def test_words_tokens_questions_and_signing_in_stay_text(
    open_page: OpenPage, named: list[int], door_url: str, complaints: Complaints, traffic: Traffic
) -> None:
    page = open_page(Role.ADMIN)
    traffic.watch(page)
    for kind, word in (("label", f"<b>{MARKUP[6]}"), ("tag", RIGHT[1]), ("label", LONG[0])):
        opened(page, f"/{kind}s")
        page.get_by_text(f"New {kind}").click()
        page.locator("#name-new").fill(word)
        page.locator("#description-new").fill(f"{MARKUP[3]}\r\n{LONG[0]}")
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_role("status")).to_have_text(f"The {kind} {word} is there.")
        sound(page)
    for word in (MARKUP[1], RIGHT[2], LONG[0]):
        opened(page, "/tokens")
        page.locator("#name").fill(word)
        page.get_by_role("button", name="Make").click()
        made = page.locator("#made").inner_text()
        sound(page)
        other = opened(open_page(None), f"/sign-in?token={made}")
        expect(other.locator(".account-name bdi")).to_have_text(word)
        sound(other)
    complaints.expected += ["/sql", "/sign-in?next=/"]
    for query, params, shown in (
        (
            f'SELECT $1::text AS "{MARKUP[0]}", $2::text',
            json.dumps([MARKUP[1], RIGHT[0]], ensure_ascii=False),
            [MARKUP[0], MARKUP[1], RIGHT[0]],
        ),
        (f"SELECT 1 AS \"{MARKUP[2]}\", '{MARKUP[0]}' x", "", [MARKUP[2], MARKUP[0]]),
    ):
        ask(page, query, params)
        expect(page.locator(".sql-rows")).to_be_visible()
        assert {spaced(each) for each in shown} <= texts(page)
        assert grown(page) == []
        # The questions asked before are listed as they were written.
        assert disturbed(page, {spaced(each) for each in (*shown, params)}) == []
        page.locator(".sql-links a", has_text=query[:40]).click()
        expect(page.locator("#query")).to_have_value(query)
        expect(page.locator("#params")).to_have_value(params)
    for query, params in ((f"SELECT {MARKUP[0]} FROM images", ""), (f'SELECT "{MARKUP[2]}"', ""), ("SELECT 1", MARKUP[0])):
        ask(page, query, params)
        expect(page.get_by_role("alert")).to_be_visible()
        assert grown(page) == []
    nobody = opened(open_page(None), "/sign-in?next=/")
    nobody.get_by_label("Token").fill(MARKUP[1])
    nobody.get_by_role("button", name="Sign in").click()
    expect(nobody.locator("#token-problem")).to_be_visible()
    sound(nobody)


@pytest.mark.parametrize(
    "place", ["javascript:alert(1)", "//evil.example/x", "https://evil.example", "/\\evil.example", "\t//evil.example"]
)
def test_the_way_back_after_signing_in_leads_nowhere_else(open_page: OpenPage, site: Site, place: str) -> None:
    page = open_page(None)
    page.goto(f"/sign-in?next={quote(place, safe='')}")
    page.get_by_label("Token").fill(site.tokens[Role.VIEWER])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert page.url.startswith(f"{site.address}/")
