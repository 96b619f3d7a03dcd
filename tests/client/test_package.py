"""The package by itself: its settings, what it imports and when, and the wheel that it comes in."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest

import pixref
from pixref import Client
from service.settings import PROJECT_DIR

LATE = ("numpy", "PIL", "pandas")
NEVER = ("service", "storage", "schema", "flask", "werkzeug", "sqlalchemy", "minio", "pydantic", "keras", "psycopg2")


def test_settings_come_from_arguments_then_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIXREF_URL", raising=False)
    monkeypatch.setenv("PIXREF_TOKEN", "from-environment")
    with Client() as client:
        assert client.url == "http://127.0.0.1:8000"
    monkeypatch.setenv("PIXREF_URL", "https://pictures.example/pixref/")
    with Client() as client:
        assert client.url == "https://pictures.example/pixref"
        assert client._transport._service.headers["Authorization"] == "Bearer from-environment"
    with Client("http://[::1]:8001/api/v1/", "mine") as client:
        assert client.url == "http://[::1]:8001"
        assert client._transport._service.headers["Authorization"] == "Bearer mine"
        assert "Authorization" not in client._transport._bucket.headers
        assert repr(client) == "Client(url='http://[::1]:8001')"


def test_a_missing_token_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXREF_TOKEN", "")
    with pytest.raises(ValueError, match="pixref token create"):
        Client()


@pytest.mark.parametrize("token", ["a b", "a\n", "tökén"])
def test_a_token_that_cannot_be_one_is_told_without_it(token: str) -> None:
    with pytest.raises(ValueError, match="copy it anew") as caught:
        Client("http://127.0.0.1:8000", token)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "ftp://x", "http://", "http://x?y=1", "http://x#y", "http://me:secret@x", "http://x:port"],
)
def test_what_is_no_address_is_told(url: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a service"):
        Client(url, "token")


def test_a_closed_client_says_so() -> None:
    client = Client("http://127.0.0.1:8000", "token")
    with client:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        client.image(1)


def run(code: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_imported_before_it_is_needed() -> None:
    loaded = run(
        "import json, sys\nfrom pixref import Client\nClient('http://127.0.0.1:1', 'token').close()\nprint(json.dumps(sorted(sys.modules)))",
        PYTHONPATH=str(PROJECT_DIR),
    )
    assert "httpx" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {*LATE, *NEVER}


@pytest.mark.parametrize(
    ("missing", "call", "says"),
    [
        ("pandas", "Result(['a'], [[1]], truncated=False, elapsed_ms=1).frame()", "pip install pandas"),
        ("PIL", "Client('http://127.0.0.1:1', 'token').arrays([1])", "pip install numpy pillow"),
        ("numpy", "Client('http://127.0.0.1:1', 'token').arrays([1])", "pip install numpy pillow"),
    ],
)
def test_a_package_that_is_missing_is_told_with_the_way_out(missing: str, call: str, says: str) -> None:
    code = (
        f"import json, sys\nsys.modules[{missing!r}] = None\nfrom pixref import Client, Result\n"
        f"try:\n    {call}\nexcept ImportError as exc:\n    print(json.dumps(str(exc)))"
    )
    assert says in run(code, PYTHONPATH=str(PROJECT_DIR))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built from a copy so that nothing is left beside the code, and unpacked."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT_DIR / name, copy)
    for name in ("pixref", "schema", "service", "storage"):
        shutil.copytree(PROJECT_DIR / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "import sys\nfrom setuptools import build_meta\nbuild_meta.build_wheel(sys.argv[1])"
    unpacked = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", code, copy / "dist"], cwd=copy, check=True, capture_output=True, timeout=120)
    [built] = (copy / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(unpacked)
    return unpacked


def test_the_wheel_holds_the_client_with_its_types_and_the_command(wheel: Path, tmp_path: Path) -> None:
    assert (wheel / "pixref" / "py.typed").is_file()
    assert {path.name for path in (wheel / "pixref").iterdir()} == {
        path.name for path in (PROJECT_DIR / "pixref").iterdir() if path.is_file()
    }
    [entry] = wheel.glob("*.dist-info/entry_points.txt")
    assert "pixref = service.cli:main" in entry.read_text()
    place = run("import json, pixref\nprint(json.dumps(pixref.__file__))", PYTHONPATH=str(wheel), PYTHONSAFEPATH="1")
    assert Path(place).parent == wheel / "pixref"
    done = subprocess.run(
        [sys.executable, "-c", "from service.cli import main; main()", "--help"],
        env={**os.environ, "PYTHONPATH": str(wheel), "PYTHONSAFEPATH": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Usage" in done.stdout


def test_the_client_alone_needs_httpx_alone(wheel: Path, tmp_path: Path) -> None:
    """The folder works without the rest of the distribution."""
    shutil.copytree(wheel / "pixref", tmp_path / "alone" / "pixref")
    site = Path(httpx.__file__).parents[1]
    loaded = run(
        f"import json, sys\nsys.path.append({str(site)!r})\nimport pixref\nprint(json.dumps([pixref.__file__, sorted(sys.modules)]))",
        PYTHONPATH=str(tmp_path / "alone"),
        PYTHONSAFEPATH="1",
    )
    assert Path(loaded[0]).is_relative_to(tmp_path)
    assert not {"service", "storage", "schema"} & set(loaded[1])


def test_the_dependencies_name_what_the_client_needs() -> None:
    project = tomllib.loads((PROJECT_DIR / "pyproject.toml").read_text())["project"]
    named = {line.partition(">")[0].partition("[")[0].strip() for line in project["dependencies"]}
    assert {"httpx", "numpy", "pillow"} <= named


def test_every_method_is_documented() -> None:
    assert [name for name, value in vars(Client).items() if not name.startswith("_") and not value.__doc__] == []
    assert set(pixref.__all__) <= set(vars(pixref))
