"""Where Chromium is and how it is started without a desktop, for the measurements, the browser tests and the tour of the pages."""

import shutil

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def find_chromium() -> str | None:
    """Return the path of the system's Chromium or Chrome, None where there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
