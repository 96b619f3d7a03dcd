"""Use cases on pictures: upload, find, fetch, label, delete. Each opens its own session and owns its transaction; none knows HTTP."""
