"""Settings, all from the environment; README.md lists them."""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from console.keys_at_rest import read_or_make_key, read_or_make_secret
from keyspace.configured import BadConfiguration, configured_servers
from keyspace.embedded import socket_path
from keyspace.pubsub.limits import check_limits

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.str("CONSOLE_DATA_DIR", str(BASE_DIR / "data")))
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)

DEBUG = False
SECRET_KEY = env.str("CONSOLE_SECRET_KEY", "") or read_or_make_secret(DATA_DIR / "secret_key")
CONSOLE_KEYS = env.list("CONSOLE_KEYS", default=[]) or [read_or_make_key(DATA_DIR / "console_key")]

# Where people reach the console; https:// here makes every cookie Secure and every page HTTPS only.
HOST, _port = env.str("HOST", "127.0.0.1"), env.str("PORT", "8000")
if not _port.isdigit() or not 0 < int(_port) < 65536:
    raise ImproperlyConfigured(f"PORT must be a number from 1 to 65535, not {_port!r}.")
PORT = int(_port)
ORIGIN = urlsplit(
    env.str("CONSOLE_ORIGIN", f"http://[{HOST}]:{PORT}" if ":" in HOST else f"http://{HOST}:{PORT}")
)
BEHIND_TLS = ORIGIN.scheme == "https"
ALLOWED_HOSTS = [
    ORIGIN.hostname or "localhost",
    *env.list("CONSOLE_HOSTS", default=["localhost", "127.0.0.1", "[::1]"]),
]
CSRF_TRUSTED_ORIGINS = [f"{ORIGIN.scheme}://{ORIGIN.netloc}"]
FORCE_SCRIPT_NAME = ORIGIN.path.rstrip("/") or None
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = BEHIND_TLS
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = BEHIND_TLS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = env.int("CONSOLE_SESSION_SECONDS", 12 * 3600)
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "keyspace_session", "keyspace_csrf"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
TRUSTED_PROXIES = env.int("CONSOLE_TRUSTED_PROXIES", 0)

EMBEDDED_SOCKET = socket_path(DATA_DIR / "valkey")
try:
    CONFIGURED_SERVERS: dict[str, dict[str, Any]] = configured_servers(
        os.environ, sample_socket=str(EMBEDDED_SOCKET)
    )
    check_limits(os.environ)
except BadConfiguration as error:
    raise ImproperlyConfigured(str(error)) from None
REDIS_HOST = env.str("REDIS_HOST", "")
SAMPLE = any(server["source"] == "sample" for server in CONFIGURED_SERVERS.values())

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "channels",
    "django_htmx",
    "csp",
    "keyspace",
    "console",
]
MIDDLEWARE = [
    "console.middleware.request_ids",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.bodies.refuse_large_bodies",
    "console.middleware.SignedInMiddleware",
    "console.middleware.ProblemMiddleware",
]
ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "console.shell.shell",
            ],
            "builtins": [
                "django.templatetags.static",
                "django_htmx.templatetags.django_htmx",
                "console.templatetags.format",
                "console.templatetags.icons",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

DATABASES = {"default": env.db_url("DATABASE_URL", f"sqlite:///{DATA_DIR / 'console.sqlite3'}")}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
# What deleted and changed keys held: so many days, so much in all, and no more of one key (as DUMP gives it).
TRASH_DAYS = env.int("CONSOLE_TRASH_DAYS", 7)
TRASH_BYTES = env.int("CONSOLE_TRASH_MB", 1024) * 1024 * 1024
TRASH_KEY_BYTES = env.int("CONSOLE_TRASH_KEY_MB", 64) * 1024 * 1024
# Days after which entries of the audit go; 0: they are kept for ever.
AUDIT_KEEP_DAYS = env.int("CONSOLE_AUDIT_KEEP_DAYS", 0)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {"default": env.cache_url("CONSOLE_CACHE_URL", "locmemcache://console")}
if env.str("CONSOLE_CHANNELS_URL", ""):
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": env.str("CONSOLE_CHANNELS_URL"), "socket_timeout": None}]},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL, LOGIN_REDIRECT_URL = "account_login", "home"
ACCOUNT_ADAPTER = "console.adapter.ClosedAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_RATE_LIMITS = {"login_failed": env.str("CONSOLE_LOGIN_RATE", "20/m/ip,5/5m/key")}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Keyspace Console"
# A code is good for one step more: it takes a while to type (RFC 6238, 5.2).
MFA_TOTP_TOLERANCE = 1

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
CSRF_FAILURE_VIEW = "console.problems.csrf_failure"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
# css/ and js/ there are sources: what is served of them are the bundles in build/.
STATICFILES_DIRS = [
    (part.name, part) for part in (BASE_DIR / "static").iterdir() if part.name in ("build", "img")
]
# Once collected, files are served from there by their hashed names, compressed and for good; else from the sources.
COLLECTED = (STATIC_ROOT / "staticfiles.json").exists() or "collectstatic" in sys.argv
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = not COLLECTED
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if WHITENOISE_USE_FINDERS
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Backups: where they lie (a directory, or a bucket), the key they are sealed with, and what may load them to prove them.
BACKUP_DIR, BACKUP_KEY = env.str("CONSOLE_BACKUP_DIR", ""), env.str("CONSOLE_BACKUP_KEY", "")
if env.str("CONSOLE_BACKUP_KEY_FILE", ""):
    BACKUP_KEY = Path(env.str("CONSOLE_BACKUP_KEY_FILE")).read_text().strip()
if env.str("CONSOLE_BACKUP_BUCKET", ""):
    STORAGES["backups"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": env.str("CONSOLE_BACKUP_BUCKET"), "location": env.str("CONSOLE_BACKUP_PREFIX", ""),
            "endpoint_url": env.str("CONSOLE_BACKUP_ENDPOINT", "") or None, "region_name": env.str("CONSOLE_BACKUP_REGION", "") or None,
            "file_overwrite": False, "max_memory_size": 16 * 1024 * 1024, "default_acl": None,
        },
    }  # fmt: skip
SCRATCH_BINARIES, SCRATCH_MEMORY = (
    env.list("CONSOLE_SCRATCH_BINARIES", default=[]),
    env.int("CONSOLE_SCRATCH_MEMORY", 0),
)
OPEN_BACKUPS, OPEN_BACKUP_MINUTES = (
    env.int("CONSOLE_OPEN_BACKUPS", 3),
    env.int("CONSOLE_OPEN_BACKUP_MINUTES", 60),
)
BACKUP_UPLOAD_BYTES = env.int("CONSOLE_BACKUP_UPLOAD_BYTES", 64 * 1024**3)
JOBS_URL = env.str("CONSOLE_JOBS_URL", "")
# Days after which a job that has ended goes, with its report; 0: never.
JOB_DAYS = env.int("CONSOLE_JOB_DAYS", 90)

LANGUAGE_CODE, TIME_ZONE, USE_I18N, USE_TZ = "en", env.str("TZ", "UTC") or "UTC", False, True
# A value in an editor (1 MiB of text) may be written as three characters a byte; larger ones come as files.
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "console.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": sys.stderr}},
    "root": {"handlers": ["stderr"], "level": env.str("CONSOLE_LOG_LEVEL", "WARNING")},
    "loggers": {
        "django": {"handlers": [], "level": "WARNING", "propagate": True},
        "console.requests": {"level": env.str("CONSOLE_REQUEST_LOG_LEVEL", "INFO")},
    },
}
