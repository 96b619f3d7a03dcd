"""The SQL door: questions of people and programs, put to the catalogue by HTTP. Plain SQL in, rows out, and nothing else happens.

Layers, each of which holds without the others (docs/decisions/0013-sql-door.md):

    guard.py        pure: one SELECT, made of listed parts only, by PostgreSQL's own parser
    schema/roles.py  a role of its own that may read the views of schema catalog
    run.py          a connection, a read-only transaction and limits of each question's own; a cursor with caps on rows and bytes
    ask.py          the use case: turns, guard, run, a row of what was asked
"""
