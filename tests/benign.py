"""Questions as people ask them, made by a grammar over the views and the functions that may be called. Every one is valid SQL."""

import random
from collections.abc import Callable, Mapping, Sequence

Columns = Mapping[str, Mapping[str, str]]

# Of PostgreSQL's types, those that expressions are made of; a column of another type is only shown.
KINDS = {
    "bigint": "int", "integer": "int", "smallint": "int", "text": "text", "boolean": "bool", "real": "float", "double precision": "float",
    "numeric": "num", "timestamp with time zone": "time", "text[]": "texts", "jsonb": "json",
}  # fmt: skip

CONSTANTS: Mapping[str, Sequence[str]] = {
    "int": ["0", "1", "7", "28", "100", "(-3)", "16384"],
    "num": ["1.5", "0.25", "100.0", "12.345"],
    "float": ["0.5::float8", "0.99::float8", "1e-3::float8"],
    "text": ["'giraffe'", "'7'", "'a b'", "'é😀'", "''", "'O''Hara'", "$$x$$", "E'a\\nb'"],
    "bool": ["true", "false"],
    "time": ["now()", "timestamptz '2026-01-01 00:00+00'", "current_timestamp", "date_trunc('day', now())"],
    "texts": ["array['a', 'b']", "'{x,y}'::text[]", "string_to_array('a,b', ',')"],
    "json": ['\'{"a": [1, 2], "b": "x"}\'::jsonb', "jsonb_build_object('a', 1)", "to_jsonb(1)"],
}


def _forms(text: str) -> list[str]:
    return [form.strip() for form in text.split("¦")]


# {int}, {text}, ... stand for an expression of that kind.
EXPRESSIONS: Mapping[str, Sequence[str]] = {
    "int": _forms(
        r"""
        abs({int}) ¦ ({int} + 1) ¦ ({int} % 7) ¦ ({int} / 2) ¦ length({text}) ¦ char_length({text}) ¦ octet_length({text}) ¦
        coalesce({int}, 0) ¦ greatest({int}, 3) ¦ least({int}, 100) ¦ nullif({int}, 0) ¦ sign({int})::int ¦ cardinality({texts}) ¦
        array_length({texts}, 1) ¦ position('a' in {text}) ¦ strpos({text}, 'a') ¦ ascii({text}) ¦ extract(year from {time})::int ¦
        extract(dow from {time})::int ¦ date_part('month', {time})::int ¦ case when {bool} then 1 else 2 end ¦ ({bool})::int ¦
        array_position({texts}, 'a') ¦ width_bucket({int}, 0, 1000, 10) ¦ floor({num})::int ¦ ceil({num})::bigint ¦ round({num})::int ¦
        (select count(*) from images) ¦ (select max(image_id) from images) ¦ regexp_count({text}, 'a') ¦ num_nulls({text}, {int}) ¦
        mod({int}, 5) ¦ bit_length({text}) ¦ (7 & 3) ¦ least({int}, {int}) ¦ gcd(12, 18) ¦ div(7, 2)::int ¦ pg_column_size({text})
        """
    ),
    "num": _forms(
        r"""
        round({num}, 2) ¦ ({num} * 2) ¦ ({num} + {num}) ¦ ({int} * 1.0) ¦ {int}::numeric ¦ trunc({num}, 1) ¦ coalesce({num}, 0) ¦
        extract(epoch from {time}) ¦ power(abs({num}) % 10, 2) ¦ sqrt(abs({num})) ¦ ({num} / 3) ¦ abs({num}) ¦ scale({num})::numeric
        """
    ),
    "float": _forms(
        r"""
        sqrt(abs({float})) ¦ ({float} * 2) ¦ exp(0.5)::float8 ¦ ln(2.0)::float8 ¦ sin({float}) ¦ atan2({float}, 1) ¦ {int}::float8 ¦
        degrees(0.5) ¦ coalesce({float}, 0.0) ¦ greatest({float}, 0.1) ¦ pi() ¦ power({float}, 2) ¦ case when {bool} then {float} end ¦
        random() ¦ cbrt({float})
        """
    ),
    "text": _forms(
        r"""
        lower({text}) ¦ upper({text}) ¦ initcap({text}) ¦ left({text}, 5) ¦ right({text}, 3) ¦ substring({text} from 1 for 3) ¦ trim({text}) ¦
        trim(both 'x' from {text}) ¦ ({text} || '-' || {text}) ¦ concat({text}, {int}) ¦ concat_ws(', ', {text}, {text}) ¦
        coalesce({text}, '-') ¦ replace({text}, 'a', 'b') ¦ split_part({text}, '.', 1) ¦ reverse({text}) ¦ repeat('x', 3) ¦
        lpad({text}, 8, '*') ¦ rpad({text}, 8) ¦ md5({text}) ¦ to_char({time}, 'YYYY-MM-DD') ¦ to_char({num}, 'FM999990.00') ¦ {int}::text ¦
        cast({num} as text) ¦ ({json} ->> 'a') ¦ ({json} #>> '{{a,0}}') ¦ array_to_string({texts}, ',') ¦ ({texts})[1] ¦
        regexp_replace({text}, '[0-9]+', '#', 'g') ¦ translate({text}, 'ab', 'xy') ¦
        case {int} when 1 then 'one' when 2 then 'two' else 'many' end ¦ nullif({text}, '') ¦ format('%s of %s', {text}, {int}) ¦ chr(65) ¦
        overlay('abcdef' placing 'X' from 2) ¦ jsonb_typeof({json}) ¦ quote_literal({text}) ¦ to_hex(255) ¦
        encode(sha256('x'::bytea), 'hex') ¦ pg_size_pretty({int}::bigint) ¦ normalize({text}) ¦ substr({text}, 2) ¦ btrim({text}) ¦
        jsonb_pretty({json}) ¦ {json}::text ¦ ({time})::date::text ¦ regexp_substr({text}, '[a-z]+') ¦
        (select label from labels order by label limit 1) ¦ {text} collate "C" ¦ pg_typeof({text})::text
        """
    ),
    "bool": _forms(
        r"""
        ({int} > 3) ¦ ({int} = {int}) ¦ ({int} between 1 and 100) ¦ ({int} in (1, 2, 3)) ¦ ({text} like 'a%') ¦ ({text} ilike '%b%') ¦
        ({text} ~ '^[a-z]') ¦ ({text} is null) ¦ ({text} is not null) ¦ ({text} = {text}) ¦ ({text} <> 'x') ¦ (not {bool}) ¦
        ({bool} and {bool}) ¦ ({bool} or {bool}) ¦ ({time} > now() - interval '7 days') ¦ ({time} < {time}) ¦ ({texts} @> array['a']) ¦
        ({texts} && array['a', 'b']) ¦ ('a' = any ({texts})) ¦ ({json} ? 'a') ¦ ({json} @> '{{"a": 1}}') ¦ ({num} > 0.5) ¦ ({float} < 0.9) ¦
        exists (select 1 from tags) ¦ (1 in (select image_id from images)) ¦ ({text} similar to '(a|b)%') ¦ ({int} is distinct from 5) ¦
        starts_with({text}, 'a') ¦ ({text} not in ('a', 'b')) ¦ isfinite({time}) ¦ ({bool} is true) ¦ jsonb_path_exists({json}, '$.a') ¦
        ({int} = all (array[1, 2])) ¦ ({text}, {int}) = ('a', 1) ¦ coalesce({bool}, false) ¦ regexp_like({text}, 'a') ¦ ({text} > 'a') ¦
        ({text} !~* 'z$') ¦ ({int} between symmetric 9 and 1)
        """
    ),
    "time": _forms(
        r"""
        date_trunc('hour', {time}) ¦ ({time} + interval '1 day') ¦ ({time} - interval '2 hours') ¦ coalesce({time}, now()) ¦
        greatest({time}, now()) ¦ ({time} at time zone 'UTC' at time zone 'UTC') ¦ make_timestamptz(2026, 1, 2, 3, 4, 5) ¦ to_timestamp(0) ¦
        date_bin('15 minutes', {time}, timestamptz '2026-01-01') ¦ case when {bool} then {time} end ¦
        to_timestamp('2026-01-01', 'YYYY-MM-DD')
        """
    ),
    "texts": _forms(
        r"""
        array_append({texts}, 'z') ¦ array_remove({texts}, 'a') ¦ ({texts} || {texts}) ¦ array[{text}, {text}] ¦ coalesce({texts}, '{{}}') ¦
        ({texts})[1:2] ¦ string_to_array({text}, ',') ¦ array(select tag from tags order by tag) ¦ array_replace({texts}, 'a', 'b') ¦
        regexp_split_to_array({text}, ',')
        """
    ),
    "json": _forms(
        r"""
        ({json} -> 'a') ¦ jsonb_build_object('k', {text}) ¦ to_jsonb({texts}) ¦ to_jsonb({text}) ¦ jsonb_build_array({int}, {text}) ¦
        coalesce({json}, '{{}}') ¦ jsonb_set({json}, '{{z}}', '1', true) ¦ jsonb_strip_nulls({json}) ¦ jsonb_path_query_array({json}, '$.*') ¦
        ({json} || '{{"c": 3}}') ¦ json_object('a': {int})::jsonb ¦ json_array({int}, {text})::jsonb ¦ json_query({json}, '$')
        """
    ),
}

AGGREGATES = _forms(
    r"""
    count(*) ¦ count({any}) ¦ count(distinct {text}) ¦ sum({int}) ¦ avg({num}) ¦ avg({int}) ¦ min({time}) ¦ max({int}) ¦ min({text}) ¦
    bool_or({bool}) ¦ every({bool}) ¦ string_agg({text}, ',' order by {text}) ¦ array_agg({int}) ¦ array_agg(distinct {text}) ¦
    jsonb_agg({text}) ¦ stddev({num}) ¦ variance({int}) ¦ count(*) filter (where {bool}) ¦
    percentile_cont(0.5) within group (order by {float}) ¦ mode() within group (order by {text}) ¦ sum({num})::numeric(20, 2) ¦
    round(avg({num}), 2) ¦ corr({float}, {float}) ¦ jsonb_object_agg('k', {int}) ¦ any_value({text}) ¦
    percentile_disc(0.9) within group (order by {int}) ¦ json_arrayagg({text}) ¦ bit_or(1) ¦ max({float}) ¦ regr_slope({float}, {float}) ¦
    count(*) * 100.0 / nullif(sum(count(*)) over (), 0)
    """
)

WINDOWS = _forms(
    r"""
    row_number() over (order by {int}) ¦ rank() over (partition by {text} order by {time} desc) ¦ sum({int}) over (order by {int}) ¦
    lag({text}) over (order by {int}) ¦ lead({int}, 1, 0) over (partition by {text} order by {int}) ¦ ntile(4) over (order by {int}) ¦
    first_value({text}) over w ¦ avg({num}) over w ¦ count(*) over () ¦ dense_rank() over (order by {text}) ¦
    percent_rank() over (order by {int}) ¦ nth_value({int}, 2) over w ¦ cume_dist() over (order by {num}) ¦
    sum({num}) over (order by {int} rows between 2 preceding and current row) ¦ max({time}) over (partition by {text})
    """
)


class Asker:
    """Makes questions; the same seed makes the same ones."""

    def __init__(self, columns: Columns, seed: int) -> None:
        self._columns = columns
        self._chance = random.Random(seed)
        self._pictures = [view for view in columns if "image_id" in columns[view]]

    def question(self) -> str:
        """Return one question."""
        form: Callable[[], str] = self._chance.choice(
            [
                self._plain,
                self._plain,
                self._grouped,
                self._grouped,
                self._windowed,
                self._joined,
                self._joined,
                self._with,
                self._united,
                self._nested,
                self._lateral,
                self._distinct,
                self._sets,
                self._series,
                self._values,
            ]
        )
        return form()

    def _view(self) -> str:
        return self._chance.choice(list(self._columns))

    def _from(self, view: str, alias: str = "") -> str:
        schema = "catalog." if self._chance.random() < 0.2 else ""
        return f"{schema}{view} {alias}".rstrip()

    def _of(self, kind: str, view: str | None, alias: str = "") -> list[str]:
        prefix = f"{alias}." if alias else ""
        return [f"{prefix}{name}" for name, found in self._columns.get(view or "", {}).items() if KINDS.get(found) == kind]

    def _make(self, kind: str, view: str | None, depth: int = 2, alias: str = "") -> str:
        columns = self._of(kind, view, alias)
        roll = self._chance.random()
        if depth == 0 or roll < 0.45:
            return self._chance.choice(columns) if columns and roll < 0.9 else self._chance.choice(CONSTANTS[kind])
        return self._fill(self._chance.choice(EXPRESSIONS[kind]), view, depth - 1, alias)

    def _fill(self, form: str, view: str | None, depth: int = 1, alias: str = "") -> str:
        out, rest = "", form.replace("{any}", "{text}").replace("{{", "\0").replace("}}", "\1")
        while "{" in rest:
            before, _, rest = rest.partition("{")
            kind, _, rest = rest.partition("}")
            out += before + self._make(kind, view, depth, alias)
        return (out + rest).replace("\0", "{").replace("\1", "}")

    def _any(self, view: str | None, alias: str = "") -> str:
        return self._make(self._chance.choice(list(EXPRESSIONS)), view, 2, alias)

    def _where(self, view: str | None, alias: str = "") -> str:
        return f" where {self._make('bool', view, 2, alias)}" if self._chance.random() < 0.7 else ""

    def _tail(self, columns: int) -> str:
        order = (
            f" order by {self._chance.randint(1, columns)}{self._chance.choice(['', ' desc', ' desc nulls last'])}"
            if self._chance.random() < 0.6
            else ""
        )
        limit = self._chance.choice(["", " limit 10", " limit 5 offset 2", " fetch first 3 rows only"])
        return order + limit + self._chance.choice(["", "", ";", " -- done"])

    def _plain(self) -> str:
        view = self._view()
        count = self._chance.randint(1, 5)
        if self._chance.random() < 0.15:
            return f"select * from {self._from(view)}{self._where(view)} limit 20"
        return f"select {', '.join(self._any(view) for _ in range(count))} from {self._from(view)}{self._where(view)}{self._tail(count)}"

    def _grouped(self) -> str:
        view = self._view()
        key = self._make(self._chance.choice(["text", "int", "bool"]), view)
        having = f" having count(*) > {self._chance.randint(0, 2)}" if self._chance.random() < 0.3 else ""
        found = ", ".join(
            f"{self._fill(self._chance.choice(AGGREGATES), view)} as a{place}" for place in range(self._chance.randint(1, 3))
        )
        # A constant key would be a column's number.
        return f"select ({key}) as k, {found} from {self._from(view)}{self._where(view)} group by 1{having}{self._tail(1)}"

    def _windowed(self) -> str:
        view = self._view()
        found = ", ".join(self._fill(self._chance.choice(WINDOWS), view) for _ in range(self._chance.randint(1, 2)))
        named = f" window w as (partition by {self._make('text', view, 1)} order by {self._make('time', view, 1)})"
        return f"select {self._any(view)}, {found} from {self._from(view)}{self._where(view)}{named}{self._tail(1)}"

    def _joined(self) -> str:
        left, right = self._chance.choice(self._pictures), self._chance.choice(self._pictures)
        kind = self._chance.choice(["join", "left join", "inner join", "right join", "full join"])
        return (
            f"select image_id, {self._any(left, 'l')}, {self._any(right, 'r')} from {self._from(left, 'l')} {kind} {self._from(right, 'r')} "
            f"using (image_id){self._where(left, 'l')}{self._tail(3)}"
        )

    def _with(self) -> str:
        view = self._view()
        materialized = self._chance.choice(["", "", " materialized", " not materialized"])
        inner = (
            f"select {self._make('text', view)} as t, {self._make('int', view)} as n from {self._from(view)}{self._where(view)}"
        )
        if self._chance.random() < 0.2:
            return (
                "with recursive c (n) as (values (1) union all select n + 1 from c where n < 10) select n, n * n from c"
                + self._tail(2)
            )
        return f"with c as{materialized} ({inner}) select t, count(*), sum(n) from c group by t{self._tail(3)}"

    def _united(self) -> str:
        one, other = self._view(), self._view()
        operation = self._chance.choice(["union", "union all", "intersect", "except", "except all"])
        parts = [
            f"select {self._make('text', view)} as t, {self._make('int', view)}::bigint as n from {self._from(view)}{self._where(view)}"
            for view in (one, other)
        ]
        return f"{parts[0]} {operation} {parts[1]}{self._tail(2)}"

    def _nested(self) -> str:
        view = self._view()
        inner = f"select {self._make('text', view)} as t, {self._any(view)} as v from {self._from(view)}{self._where(view)}"
        picture = self._chance.choice(self._pictures)
        condition = self._chance.choice(
            [
                "t is not null",
                "exists (select 1 from labels l where l.label = s.t)",
                f"t in (select {self._make('text', picture)} from {picture})",
            ]
        )
        return f"select s.t, s.v from ({inner}) as s where {condition}{self._tail(1)}"

    def _lateral(self) -> str:
        return self._chance.choice(
            [
                "select image_id, tag from images, unnest(tags) as tag",
                "select i.image_id, t.tag, t.place from images i cross join lateral unnest(i.tags) with ordinality as t (tag, place)",
                "select p.image_id, s.key, s.value from predictions p, jsonb_each_text(p.scores) as s",
                "select i.image_id, e.key from images i left join lateral jsonb_each(i.attributes) e on true",
                "select l.label, x.n from labels l cross join lateral (select i.image_id as n from images i where i.label = l.label limit 2) x",
                "select image_id, j.a from images, json_table(attributes, '$' columns (a text path '$.camera')) as j",
            ]
        ) + self._tail(2)

    def _distinct(self) -> str:
        view = self._chance.choice(self._pictures)
        key = self._chance.choice(self._of("text", view) or ["image_id"])
        if self._chance.random() < 0.5:
            return f"select distinct {key}, {self._any(view)} from {self._from(view)}{self._where(view)}"
        return f"select distinct on ({key}) {key}, image_id from {self._from(view)} order by {key}, image_id desc"

    def _sets(self) -> str:
        view = self._chance.choice(["images", "predictions"])
        grouping = self._chance.choice(
            ["rollup (label, day)", "cube (label, day)", "grouping sets ((label), (day), ())", "label, day"]
        )
        inner = f"select label, created_at::date as day, image_id from {view}{self._where(view)}"
        return f"select label, day, count(*), grouping(label) from ({inner}) s group by {grouping}{self._tail(3)}"

    def _series(self) -> str:
        return self._chance.choice(
            [
                "select d::date, count(label) from generate_series(now() - interval '7 days', now(), '1 day') d left join images on true group by 1",
                "select g, (select count(*) from images where width > g * 10) from generate_series(1, 5) g",
                "select width_bucket(score, 0, 1, 10) as bucket, count(*) from predictions group by bucket",
                "select g.n, i.image_id from generate_series(1, 3) as g (n) left join images i on i.image_id = g.n",
            ]
        ) + self._tail(1)

    def _values(self) -> str:
        rows = ", ".join(f"({number}, {self._make('text', None)})" for number in range(self._chance.randint(1, 4)))
        if self._chance.random() < 0.4:
            return f"values {rows}"
        return f"select v.n, v.t, i.label from (values {rows}) as v (n, t) left join images i on i.image_id = v.n{self._tail(2)}"
