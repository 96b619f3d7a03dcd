"""What can be asked: the views of schema `catalog` with their columns and comments, and a few questions to begin with."""

from dataclasses import dataclass

from sqlalchemy import text

from schema.session import Sessions, single


@dataclass(frozen=True, slots=True)
class ViewColumn:
    name: str
    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class View:
    name: str
    comment: str
    columns: list[ViewColumn]


_VIEWS = text("""
    SELECT c.relname, coalesce(obj_description(c.oid, 'pg_class'), ''),
           a.attname, format_type(a.atttypid, a.atttypmod), coalesce(col_description(c.oid, a.attnum), '')
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'catalog'
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relkind IN ('v', 'm') AND has_table_privilege('pixref_door', c.oid, 'SELECT')
    ORDER BY c.relname, a.attnum
""")


def views(sessions: Sessions) -> list[View]:
    """Return every view that the door reads, by name."""
    found: dict[str, View] = {}
    with single(sessions) as connection:
        for name, comment, column, kind, about in connection.execute(_VIEWS):
            found.setdefault(name, View(name, comment, [])).columns.append(ViewColumn(column, kind, about))
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Example:
    title: str
    query: str


EXAMPLES = (
    Example(
        "The newest pictures",
        "select image_id, label, tags, width, height, created_at\nfrom images\norder by image_id desc\nlimit 20",
    ),
    Example(
        "How many pictures have each label",
        "select label, count(*) as pictures\nfrom images\ngroup by label\norder by pictures desc",
    ),
    Example(
        "Where the champion disagrees with the label",
        "select p.image_id, i.label, p.label as predicted, round(p.score::numeric, 3) as score\n"
        "from predictions p\njoin images i using (image_id)\nwhere p.champion and p.label <> i.label\norder by p.score desc\nlimit 50",
    ),
    Example(
        "What the champion is least sure of",
        "select image_id, label as predicted, score\nfrom predictions\nwhere champion\norder by score\nlimit 50",
    ),
    Example(
        "How often the champion is right, label by label",
        "select i.label, count(*) as pictures,\n"
        "       round(100.0 * avg((p.label = i.label)::int), 1) as percent_right\n"
        "from images i\njoin predictions p using (image_id)\nwhere p.champion and i.label is not null\ngroup by i.label\norder by percent_right",
    ),
    Example(
        "Pictures without a label",
        "select image_id, original_name, created_at\nfrom images\nwhere label is null\norder by image_id desc\nlimit 50",
    ),
    Example(
        "Pictures with all of these tags",
        "select image_id, array_agg(tag order by tag) as tags\nfrom image_tags\nwhere tag in ('animal', 'drawn')\n"
        "group by image_id\nhaving count(*) = 2",
    ),
    Example(
        "The last changes of labels",
        "select image_id, old_label, new_label, changed_by, changed_at\nfrom label_history\norder by changed_at desc\nlimit 50",
    ),
    Example(
        "Uploads by day",
        "select created_at::date as day, count(*) as pictures, pg_size_pretty(sum(byte_size)) as size\nfrom images\ngroup by day\norder by day desc",
    ),
)
