"""What analysts make in schema `scratch`, and that no migration is held up by it or takes it away."""

from collections.abc import Iterator

import pandas
import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema import migrate
from schema.session import Sessions
from service.accounts.actor import Actor
from storage.base import ObjectStore
from tests.factories import add_image, one

JOKES = "CREATE TABLE jokes (image_id bigint PRIMARY KEY, joke text NOT NULL)"
RETIRED = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('catalog_retired')"


@pytest.fixture
def analyst(analyst_url: URL) -> Iterator[Connection]:
    with create_engine(analyst_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


@pytest.fixture
def admin(admin_url: URL) -> Iterator[Engine]:
    engine = create_engine(admin_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def giraffe(sessions: Sessions, store: ObjectStore, actor: Actor) -> int:
    return add_image(sessions, store, actor, label="giraffe")


def test_a_table_of_ones_own_is_joined_with_the_catalogue(
    analyst: Connection, analyst_url: URL, giraffe: int, sessions: Sessions
) -> None:
    analyst.exec_driver_sql(JOKES)
    analyst.execute(text("INSERT INTO jokes VALUES (:id, 'Its neck has gone to its head.')"), {"id": giraffe})
    joined = analyst.execute(text("SELECT label, joke FROM images JOIN jokes USING (image_id)")).all()
    assert joined == [("giraffe", "Its neck has gone to its head.")]
    frame = pandas.DataFrame({"image_id": [giraffe], "stars": [5]})
    with create_engine(analyst_url, poolclass=NullPool).begin() as connection:
        assert frame.to_sql("stars", connection, index=False) == 1
    for statement in (
        "CREATE VIEW loved AS SELECT image_id, label, stars FROM images JOIN stars USING (image_id) WHERE stars > 4",
        "CREATE MATERIALIZED VIEW counted AS SELECT label, count(*) AS images FROM images GROUP BY label",
        "CREATE INDEX ON jokes (joke)",
        "ALTER TABLE jokes ADD COLUMN told boolean DEFAULT false",
        "UPDATE jokes SET told = true",
    ):
        analyst.exec_driver_sql(statement)
    assert analyst.execute(text("TABLE loved")).all() == [(giraffe, "giraffe", 5)]
    assert analyst.scalar(text("SELECT items FROM storage_use WHERE kind = 'scratch'")) == 3
    assert one(sessions, "SELECT bytes > 0 FROM catalog.storage_use WHERE kind = 'scratch'")
    analyst.exec_driver_sql("DROP TABLE jokes")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE catalog.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE TABLE pixref.mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "DROP SCHEMA scratch",
        "DROP VIEW catalog.images",
        "SELECT * FROM pixref.image",
        "SELECT * FROM pixref.api_token",
        "SELECT * FROM jobs.procrastinate_jobs",
        "DELETE FROM catalog.images",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_terminate_backend(1)",
        "SELECT lo_create(0)",
        "SELECT pg_export_snapshot()",
        "SELECT pixref.end_overdue_sessions('pixref_reader', '0', '0')",
        "BEGIN; LOCK TABLE catalog.images",
        "SELECT * FROM catalog.images FOR UPDATE",
        # What runs as whoever restores the table, or cannot be ended.
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'",
        "DO $$ BEGIN NULL; END $$",
        "CREATE TABLE mine (image_id bigint REFERENCES pixref.image (id))",
        "GRANT pixref_reader TO pixref_app",
        "SET ROLE pixref_owner",
    ],
)
def test_nothing_else_is_the_analysts(analyst: Connection, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner|not automatically updatable"):
        analyst.exec_driver_sql(statement)


def test_the_reader_sees_nothing_of_it(analyst: Connection, reader_url: URL) -> None:
    analyst.exec_driver_sql(JOKES)
    with create_engine(reader_url, poolclass=NullPool).connect() as reader, pytest.raises(DBAPIError, match="permission denied"):
        reader.exec_driver_sql("SELECT * FROM scratch.jokes")


def test_a_view_of_ones_own_outlives_the_view_that_it_is_made_of(admin: Engine, analyst: Connection, mnist_model: int) -> None:
    """Revision 0006 gives `models` another shape: what was built on the old one goes on, and the old one goes with the last of it."""
    with admin.connect() as connection:
        migrate.downgrade(connection, "0005")
        connection.rollback()
        connection.execute(text("CREATE SCHEMA people"))
        connection.execute(text("CREATE VIEW people.mine AS SELECT model, version, aliases FROM catalog.models"))
        connection.execute(text("CREATE VIEW people.mine_too AS SELECT count(*) AS n FROM people.mine"))
        connection.commit()
        before = connection.execute(text("TABLE people.mine")).all()
        assert before == [("mnist", 1, ["champion"])]
        migrate.upgrade(connection)
        assert connection.execute(text("TABLE people.mine")).all() == before
        assert connection.scalar(text("TABLE people.mine_too")) == 1
        assert connection.execute(text("SELECT model, champion, versions FROM catalog.models")).all() == [("mnist", 1, 1)]
        [retired] = connection.scalars(text(RETIRED)).all()
        assert retired.startswith("models_v1_")
        assert analyst.execute(text(f"SELECT version FROM catalog_retired.{retired}")).all() == [(1,)]
        connection.execute(text("DROP SCHEMA people CASCADE"))
        connection.commit()
        migrate.upgrade(connection)
        assert connection.scalars(text(RETIRED)).all() == []


def test_no_way_of_the_migrations_takes_what_is_in_scratch(admin: Engine, analyst: Connection, giraffe: int) -> None:
    analyst.exec_driver_sql(JOKES)
    analyst.execute(text("INSERT INTO jokes VALUES (:id, 'x')"), {"id": giraffe})
    analyst.exec_driver_sql("CREATE VIEW told AS SELECT image_id, joke, label FROM images JOIN jokes USING (image_id)")
    analyst.exec_driver_sql("CREATE VIEW sizes AS SELECT sum(bytes) AS bytes FROM storage_use")
    with admin.connect() as connection:
        for _ in range(2):
            migrate.downgrade(connection, "0005")
            connection.rollback()
            assert analyst.execute(text("TABLE scratch.jokes")).all() == [(giraffe, "x")]
            migrate.upgrade(connection)
            connection.rollback()
            assert analyst.execute(text("TABLE scratch.told")).all() == [(giraffe, "x", "giraffe")]
            assert analyst.scalar(text("TABLE scratch.sizes")) > 0
        assert len(connection.scalars(text(RETIRED)).all()) == 1
    analyst.exec_driver_sql("CREATE TABLE more (n int)")
