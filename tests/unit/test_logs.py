"""Logs are JSON, one object a line, and hold no secret."""

import json
import logging
from collections.abc import Iterator

import pytest

from service.logs import set_up


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    # set_up also turns on our own loggers, and other tests of this process look at what they write.
    levels = {logger: logger.level for logger in (root, *map(logging.getLogger, ("service", "storage", "schema", "pixref")))}
    yield
    root.handlers[:] = handlers
    for logger, level in levels.items():
        logger.setLevel(level)


def logged(capsys: pytest.CaptureFixture[str], message: str, **more: object) -> dict[str, object]:
    set_up("INFO")
    logging.getLogger("service.test").info(message, **more)  # type: ignore[arg-type]
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    entry: dict[str, object] = json.loads(line)
    return entry


SECRET = "S3cr3t-Value_that/must+not%2Fbe=seen"
MESSAGES = [
    f"GET http://s3/b/k?X-Amz-Algorithm=A&X-Amz-Signature={SECRET} failed",
    f"GET http://s3/b/k?X-Amz-Credential={SECRET}&X-Amz-Date=x failed",
    f'GET "/sign-in?token={SECRET}" failed',
    f"Authorization: Bearer {SECRET}",
    f"authorization: bearer  {SECRET}",
    f"Authorization: Basic {SECRET}",
    "cannot connect to postgresql://app:S3cr3t-Value_that%2Fmust@db/pixref",
    f"dsn: host=db password={SECRET} dbname=x",
    "token pixref_" + "a1-_" * 10 + "xyz is unknown",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_secrets_are_masked_and_lines_stay_json(capsys: pytest.CaptureFixture[str], message: str) -> None:
    entry = logged(capsys, message, extra={"detail": f'quoted "{message}" here'})
    text = json.dumps(entry)
    assert "***" in str(entry["message"])
    assert "***" in str(entry["detail"])
    for secret in ("S3cr3t", "a1-_a1-_"):
        assert secret not in text
    assert str(entry["detail"]).endswith(" here")


def test_secrets_in_tracebacks_are_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("INFO")
    try:
        raise ValueError(f"bad url http://s3/k?X-Amz-Signature={SECRET}")
    except ValueError:
        logging.getLogger("service.test").exception("failed")
    entry = json.loads(capsys.readouterr().err)
    assert "ValueError" in entry["exc_info"]
    assert "test_logs.py" in entry["exc_info"]
    assert SECRET not in entry["exc_info"]


def test_shape_and_levels(capsys: pytest.CaptureFixture[str]) -> None:
    entry = logged(capsys, "role %s of %s", extra={"status": 200})
    assert entry["level"] == "INFO"
    assert entry["logger"] == "service.test"
    assert entry["status"] == 200
    assert str(entry["time"]).endswith("Z")
    logging.getLogger("urllib3").info("chatter")
    logging.getLogger("service.test").debug("detail")
    assert capsys.readouterr().err == ""
    set_up("DEBUG")
    logging.getLogger("service.test").debug("detail")
    assert "detail" in capsys.readouterr().err


def test_harmless_words_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    message = "role pixref_reader of postgresql://db/x: the tokenizer at http://127.0.0.1:9000 and a@b.c"
    assert logged(capsys, message)["message"] == message
