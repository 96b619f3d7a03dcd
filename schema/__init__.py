"""PostgreSQL: tables, views for people, roles, migrations and queries. Knows nothing of buckets, pictures' bytes or HTTP.

Nothing here imports `storage` or `service`.
"""
