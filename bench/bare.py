"""The least that Flask can answer, as the ceiling of anything that is served by it."""

from flask import Flask

app = Flask(__name__)


@app.post("/")
def answer() -> str:
    """Read nothing, know nobody, look nothing up."""
    return "ok"
