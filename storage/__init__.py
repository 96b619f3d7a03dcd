"""The bucket: moves bytes by key and signs links to them. Knows nothing of rows, pictures or HTTP.

Only `minio_store` imports the vendor's client; nothing here imports `schema` or `service`.
"""
