"""Settings: every bad value is named with its accepted form, and no secret is ever shown."""

import json
from pathlib import Path

import pytest

import service.settings as module
from service.settings import (
    PRIVILEGED,
    InitSettings,
    LocalSettings,
    Settings,
    SettingsError,
    child_environment,
    write_service_env,
)

GOOD = {
    "DATABASE_URL": "postgresql://app:Passw0rd-of-db@127.0.0.1:5437/pixref",
    "S3_ENDPOINT": "http://127.0.0.1:9000",
    "S3_ACCESS_KEY": "pixref-app",
    "S3_SECRET_KEY": "Sup3r-secret-of-s3",
    "PIXREF_SECRET_KEY": "Key-that-signs-cookies-0123456789ab",
}
SECRETS = ("Passw0rd-of-db", "Sup3r-secret-of-s3", "Key-that-signs-cookies-0123456789ab")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing but GOOD is set, and `.env` is looked for in an empty folder."""
    for cls in (Settings, InitSettings, LocalSettings):
        for field in cls.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PIXREF_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(module, "ENV_FILE", tmp_path / ".env")
    return tmp_path


BAD = [
    ("DATABASE_URL", "mysql://app:Passw0rd-of-db@h/x", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ("DATABASE_URL", "postgresql://app:Passw0rd-of-db@h", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ("DATABASE_URL", "Passw0rd-of-db", "postgresql://"),
    ("DATABASE_URL", "postgresql://app:Passw0rd-of-db@h:port/x", "postgresql://"),
    ("DATABASE_URL", "postgresql://app:Passw0rd-of-db@[h/x", "postgresql://"),
    ("S3_ENDPOINT", "127.0.0.1:9000", "http://127.0.0.1:9000"),
    ("S3_ENDPOINT", "http://user:Sup3r-secret-of-s3@h:9000", "http://127.0.0.1:9000"),
    ("S3_ENDPOINT", "http://h:9000/path", "http://127.0.0.1:9000"),
    ("S3_ENDPOINT", "http://h:port", "http://127.0.0.1:9000"),
    ("S3_ENDPOINT", "http://h:99999", "http://127.0.0.1:9000"),
    ("S3_PUBLIC_ENDPOINT", "ftp://h", "http://127.0.0.1:9000"),
    ("S3_ACCESS_KEY", "ab", "at least 3"),
    ("S3_SECRET_KEY", "minioadmin", "make env"),
    ("S3_SECRET_KEY", "Postgres ", "make env"),
    ("S3_SECRET_KEY", "short", "8 characters"),
    ("S3_BUCKET", "Up", "3-63"),
    ("S3_BUCKET", "-bucket", "3-63"),
    ("S3_BUCKET", "bucket\n", "3-63"),
    ("S3_REGION", "us east", "signatures"),
    ("PIXREF_SECRET_KEY", "too-short", "32"),
    ("PIXREF_SECRET_KEY", "change-me", "make env"),
    ("PIXREF_PORT", "0", "1-65535"),
    ("PIXREF_PORT", "http", "1-65535"),
    ("PIXREF_MAX_UPLOAD_MIB", "0", "1-1024"),
    ("PIXREF_MAX_UPLOAD_MIB", "20MB", "1-1024"),
    ("PIXREF_MAX_UPLOAD_MIB", "201", "PIXREF_MAX_FORM_MIB"),
    ("PIXREF_MAX_PIXELS", "-1", "pixels"),
    ("PIXREF_URL_LIFETIME_S", "9", "10-3600"),
    ("PIXREF_URL_LIFETIME_S", "3601", "10-3600"),
    ("PIXREF_FILE_DELIVERY", "email", "redirect"),
    ("PIXREF_COOKIE_SECURE", "perhaps", "true"),
    ("PIXREF_WEB_WORKERS", "65", "1-64"),
    ("PIXREF_LOG_LEVEL", "loud", "DEBUG"),
]


@pytest.mark.parametrize(("name", "value", "form"), BAD)
def test_a_bad_value_is_named_with_the_accepted_form(monkeypatch: pytest.MonkeyPatch, name: str, value: str, form: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    message = str(caught.value)
    assert name in message
    assert form in message
    for secret in (*SECRETS, *([value] if name.endswith("_KEY") and len(value) > 4 else [])):
        assert secret not in message


def test_what_is_missing_is_named_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in GOOD:
        monkeypatch.setenv(name, "")  # set but empty is not set
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == list(GOOD)
    assert all("is not set" in line for line in lines)


def test_effective_settings_and_repr_show_no_secret() -> None:
    for settings in (Settings.load(), InitSettings.load(admin_token="token-of-24-characters-or-more")):
        text = json.dumps(settings.effective()) + repr(settings) + str(settings)
        for secret in (*SECRETS, "token-of-24-characters-or-more"):
            assert secret not in text
        assert settings.effective()["PIXREF_MAX_UPLOAD_MIB"] == 20
        assert settings.effective()["S3_ENDPOINT"] == GOOD["S3_ENDPOINT"]
        assert set(GOOD) <= set(settings.effective())


def test_where_values_come_from(monkeypatch: pytest.MonkeyPatch, environment: Path) -> None:
    (environment / "service.env").write_text("PIXREF_PORT=8001\nPIXREF_WEB_WORKERS=3\nPIXREF_LOG_LEVEL=ERROR\n")
    (environment / ".env").write_text("# notes\nPIXREF_PORT=8002\nPIXREF_WEB_WORKERS=4\nSOMETHING_ELSE=x\n")
    monkeypatch.setenv("PIXREF_PORT", "8003")
    settings = Settings.load()
    assert (settings.port, settings.web_workers, settings.log_level) == (8003, 4, "ERROR")
    assert Settings.load(port=8004).port == 8004
    # The settings of an earlier run are not taken for the user's own servers.
    assert LocalSettings.load(s3_endpoint=None).port == 8003


def test_env_is_not_looked_for_in_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".env").write_text("PIXREF_PORT=8009\n")
    monkeypatch.chdir(elsewhere)
    assert Settings.load().port == 8000


def test_init_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIO_ROOT_USER", "root")
    with pytest.raises(SettingsError, match="MINIO_ROOT_PASSWORD"):
        InitSettings.load()
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", "a-root-password")
    monkeypatch.setenv("PIXREF_ADMIN_TOKEN", "short")
    with pytest.raises(SettingsError, match="PIXREF_ADMIN_TOKEN"):
        InitSettings.load()
    assert not hasattr(Settings.load(), "s3_root_password")


def test_local_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_SECRET_KEY")
    with pytest.raises(SettingsError, match="S3_SECRET_KEY"):
        LocalSettings.load()
    monkeypatch.delenv("S3_ENDPOINT")
    monkeypatch.setenv("DB_PORT", "9000")
    with pytest.raises(SettingsError, match="different ports"):
        LocalSettings.load()


def test_children_do_not_get_what_only_init_may_see(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in PRIVILEGED:
        monkeypatch.setenv(name, "privileged")
    given = {"MINIO_ROOT_USER": "root", "PIXREF_PORT": "8001"}
    handed = child_environment(given)
    assert not PRIVILEGED & set(handed)
    assert handed["PIXREF_PORT"] == "8001"
    assert child_environment(given, privileged=True)["MINIO_ROOT_USER"] == "root"
    write_service_env(tmp_path, given)
    written = tmp_path / "service.env"
    assert written.read_text() == "PIXREF_PORT=8001\n"
    assert written.stat().st_mode & 0o777 == 0o600
