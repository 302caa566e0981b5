# Two images: `--target api` (no torch, small) and `--target worker` (torch for CUDA; runs on a CPU too).
# PYTHON_IMAGE may be any Debian-like root with CA certificates and a python3 (3.11 or newer) that has venv.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS uv
COPY requirements/uv.txt /requirements/
RUN python3 -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --require-hashes -r /requirements/uv.txt

# A stage, not the build context: not every builder heeds .dockerignore when it mounts the context.
FROM scratch AS source
COPY pyproject.toml README.md /
COPY app /app
COPY edgeface_finetune /edgeface_finetune
COPY worker /worker

FROM ${PYTHON_IMAGE} AS base
# A fixed number, so that files on volumes keep their owner from one image to the next.
# Docker gives a new named volume the owner of the folder it is mounted on: the folder must exist here.
RUN groupadd --gid 10001 edgeface \
    && useradd --uid 10001 --gid edgeface --home-dir /var/lib/edgeface --no-create-home --shell /usr/sbin/nologin edgeface \
    && install -d -o edgeface -g edgeface /var/lib/edgeface \
    && install -d /data/datasets /data/weights \
    && python3 -m venv --without-pip /opt/venv
# The packages are compiled when they are installed: the service runs as a user who may not write beside them.
ENV PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EDGEFACE_VAR_DIR=/var/lib/edgeface \
    EDGEFACE_DATASETS_DIR=/data/datasets \
    EDGEFACE_WEIGHTS_DIR=/data/weights
WORKDIR /var/lib/edgeface
STOPSIGNAL SIGTERM

# In each image the packages are one layer and the project another: a change of code moves no torch.
FROM base AS api
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,source=requirements/api.txt,target=/requirements/api.txt \
    --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv pip install --link-mode copy --compile-bytecode --require-hashes -r /requirements/api.txt
# Built from a copy because setuptools writes into the folder it builds.
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,from=source,target=/source \
    cp -r /source /tmp/source \
    && /opt/uv/bin/uv pip install --no-cache --compile-bytecode --no-deps --no-build-isolation /tmp/source \
    && rm -r /tmp/source
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
# The first start creates an admin's API key and prints it, unless EDGEFACE_ADMIN_KEY_FILE has one.
CMD ["edgeface-finetune", "api", "--host", "0.0.0.0", "--port", "8000", "--create-first-key"]

FROM base AS worker
# The driver's libraries that the NVIDIA runtime mounts: `compute` for CUDA, `utility` for NVML.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,source=requirements/worker.txt,target=/requirements/worker.txt \
    --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv pip install --link-mode copy --compile-bytecode --require-hashes -r /requirements/worker.txt
RUN --mount=type=bind,from=uv,source=/opt/uv,target=/opt/uv \
    --mount=type=bind,from=source,target=/source \
    cp -r /source /tmp/source \
    && /opt/uv/bin/uv pip install --no-cache --compile-bytecode --no-deps --no-build-isolation /tmp/source \
    && rm -r /tmp/source
COPY scripts/worker-health.py /opt/
USER 10001:10001
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s CMD ["python", "/opt/worker-health.py"]
CMD ["edgeface-finetune", "worker"]
