"""docs/pages.md and its pictures, against the pages that there are."""

import re

from service.settings import PROJECT_DIR
from service.web.pages.navigation import sections

TEXT = (PROJECT_DIR / "docs" / "pages.md").read_text()


def test_it_shows_every_picture_and_no_other() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(images/pages/([a-z-]+)\.webp\)", TEXT)
    there = [file.stem for file in (PROJECT_DIR / "docs" / "images" / "pages").glob("*.webp")]
    assert sorted(shown) == sorted(there)


def test_it_has_every_part() -> None:
    titles = " ".join(re.findall(r"^## (.+)$", TEXT, re.MULTILINE))
    assert [section.name for section in sections(may_edit=True) if section.name not in titles] == []


def test_its_links_lead_somewhere() -> None:
    titles = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= titles
