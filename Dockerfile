# docs/security.md says where the digest is from, and how to take a newer one.
FROM python:3.11.16-slim-bookworm@sha256:528257d48c1da0dcecc2e725d1ae34498d60c965f1241e39cd6a85a8859bdf84

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /service

# --build-arg REQUIREMENTS=requirements-tracing.txt adds what sends traces (docs/tracing.md).
ARG REQUIREMENTS=requirements.txt
COPY $REQUIREMENTS ./
RUN pip install --require-hashes -r "$REQUIREMENTS"

COPY app app
COPY migrations migrations
COPY docs/openapi.json docs/asyncapi.json docs/
COPY run.py gunicorn.conf.py pyproject.toml .flaskenv ./

# The commit that /livez and the metric order_build_info name: --build-arg SOURCE_COMMIT=$(git rev-parse HEAD)
ARG SOURCE_COMMIT=unknown
ENV SOURCE_COMMIT=$SOURCE_COMMIT

RUN useradd --system --uid 10001 --no-create-home orders
USER 10001
# All that it writes is gunicorn's heartbeat file in /tmp: the root file system may be read-only (docker-compose.yml).

EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-I", "-S", "app/utils/health_check.py"]
CMD ["gunicorn", "-c", "gunicorn.conf.py", "run:app"]
