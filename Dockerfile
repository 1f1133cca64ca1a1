# Payspool in one image: every process is a command of it (docs/how-to/production.md).
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY requirements.txt ./
# Wheels only, each with its hash: nothing is compiled, and nothing else than what was tested is installed.
RUN python -m venv /opt/payspool \
 && /opt/payspool/bin/pip install --only-binary :all: --require-hashes -r requirements.txt \
 && /opt/payspool/bin/pip uninstall --yes pip
COPY pyproject.toml ./
COPY payspool payspool
COPY domain domain
COPY queues queues
COPY workers workers
COPY web web
COPY sandbox sandbox
COPY migrations migrations
COPY clients/python clients/python
COPY deploy/payspool /opt/payspool/bin/payspool
# The packages are found by their place; compiled here, because the running user may not write.
RUN printf '%s\n' /app /app/clients/python \
      > "$(/opt/payspool/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/payspool.pth" \
 && chmod 0755 /opt/payspool/bin/payspool \
 && /opt/payspool/bin/python -m compileall -q /app /opt/payspool/lib

FROM python:3.13-slim
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin payspool \
 && install -d -o payspool -g payspool /var/lib/payspool-sandbox
COPY --from=build /opt/payspool /opt/payspool
COPY --from=build /app /app
ENV PATH=/opt/payspool/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PAYSPOOL_LOG_FORMAT=json
WORKDIR /app
USER 10001:10001
EXPOSE 8300 9300
ENTRYPOINT ["payspool"]
CMD ["api"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-m", "payspool.healthy", "http://127.0.0.1:8300/healthz"]
