"""The addresses of all pages, as the application's own map has them, so that no test forgets one."""

import re
from collections.abc import Mapping

from flask import Flask

# What is a download or leads elsewhere.
NO_PAGE = {"pages.download_sql", "pages.sign_out"}


def addresses(app: Flask, ids: Mapping[str, int]) -> list[str]:
    """Return the address of every page, with these ids in the addresses that take one, and the model mnist."""
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("pages.") or "GET" not in (rule.methods or set()) or rule.endpoint in NO_PAGE:
            continue
        path = re.sub(r"<int:(\w+)>", lambda part: str(ids[part[1]]), str(rule)).replace("<name>", "mnist")
        assert "<" not in path, f"the test does not know how to fill {rule}"
        found.append(path)
    return sorted(found)
