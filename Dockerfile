# Keyspace Console as a container: `docker compose up --build`, or `docker build -t keyspace-console .`

FROM node:22-bookworm-slim AS front_end
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY scripts/build.mjs scripts/build.mjs
COPY static static
RUN node scripts/build.mjs

FROM python:3.13-slim-bookworm AS packages
RUN python -m venv /venv
COPY requirements.lock .
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.13-slim-bookworm
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 PORT=8000 CONSOLE_DATA_DIR=/data
RUN useradd --system --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin console
WORKDIR /app
COPY --from=packages /venv /venv
COPY . .
COPY --from=front_end /app/static/build static/build
# A throwaway data directory: the keys that settings make at first start belong to the volume, never to the image.
RUN CONSOLE_DATA_DIR=/tmp/build python manage.py collectstatic --noinput && rm -rf /tmp/build

USER console
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=2)"]
# In the shape that gives the process the signals: TERM ends requests in flight, then the process.
CMD ["python", "manage.py", "serve"]
