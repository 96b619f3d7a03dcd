"""The head of every page: where one is, and where one can go."""

import re

from flask import Flask

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.web.pages.navigation import sections
from storage.base import ObjectStore
from tests.conftest import client_with
from tests.factories import add_image, make_png


def here(page: str) -> list[tuple[str, str]]:
    """Return name and `aria-current` of the parts that are marked as the reader's place."""
    return re.findall(r'<a class="nav-link active" href="[^"]*" aria-current="(\w+)">(\w+)</a>', page.partition("</nav>")[0])


def test_every_page_is_in_one_part(app: Flask) -> None:
    named = [name for section in sections(may_edit=True) for name in (section.endpoint, *section.others)]
    assert len(named) == len(set(named))
    assert set(named) <= set(app.view_functions)
    pages = {
        rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.startswith("pages.") and "GET" in (rule.methods or ())
    }
    # What the foot of the page leads to, and what one sees before there is anything to go to.
    assert pages - set(named) == {"pages.storage", "pages.tokens", "pages.sign_in"}


def test_a_page_says_where_one_is(app: Flask, sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int) -> None:
    image_id = add_image(sessions, store, actor, make_png())
    client = client_with(app, sessions, Role.EDITOR)
    assert here(client.get("/").text) == [("page", "Gallery")]
    assert here(client.get(f"/images/{image_id}").text) == [("true", "Gallery")]
    assert here(client.get("/tags").text) == [("true", "Labels")]
    assert here(client.get("/train").text) == [("true", "Models")]
    assert here(client.get("/storage").text) == []
    assert here(client.get("/nowhere").text) == []


def test_viewers_are_led_nowhere_where_they_may_not_go(app: Flask, sessions: Sessions) -> None:
    head = client_with(app, sessions, Role.VIEWER).get("/").text.partition("</nav>")[0]
    assert not re.search(r">(Upload|Review|Trash)<", head)
    assert len(re.findall('class="nav-link', head)) == len(sections(may_edit=False))
