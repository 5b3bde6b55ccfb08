"""All settings, each from the environment; `project.env` refuses a bad value with one line that names the variable.

Unset, the project runs on its embedded defaults: SQLite under var/, and the Redis that `make up` starts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import dj_database_url
import django_stubs_ext

from project import env

django_stubs_ext.monkeypatch()  # Django's generic classes can be subscripted at run time too

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = env.directory("WEIR_VAR_DIR", BASE_DIR / "var")

# --- Django -----------------------------------------------------------------------------------------------------------

DEBUG = env.boolean("DEBUG", False)
_DEVELOPMENT_KEY = "insecure-development-key-set-SECRET_KEY-in-production"
SECRET_KEY = env.text("SECRET_KEY", _DEVELOPMENT_KEY)
PRODUCTION = env.boolean("PRODUCTION", False)
if PRODUCTION and SECRET_KEY == _DEVELOPMENT_KEY:
    env.fail("SECRET_KEY", "", "a long random text when PRODUCTION is on")
PORT = env.integer("PORT", 8000, low=1, high=65535)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]", "testserver"])
PUBLIC_URL = env.url("PUBLIC_URL", f"http://localhost:{PORT}", ("http", "https")).rstrip("/")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [PUBLIC_URL])
# Where people come by https, their cookies travel by nothing else; redirecting, and HSTS, are the proxy's.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PRODUCTION and PUBLIC_URL.startswith("https://")
SESSION_ENGINE = "automation.web.sessions"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "django_celery_beat",
    "automation",
    # Each domain is an app, installed by being there.
    *(f"automation.domains.{path.parent.name}" for path in sorted(BASE_DIR.glob("automation/domains/*/apps.py"))),
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
ASGI_APPLICATION = "project.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_USER_MODEL = "automation.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
WHITENOISE_USE_FINDERS = True

# --- Database ---------------------------------------------------------------------------------------------------------

DATABASE_URL = env.url(
    "DATABASE_URL", f"sqlite:///{VAR_DIR / 'weir.sqlite3'}", ("sqlite", "postgres", "postgresql", "postgis")
)
DB_PREPARED_STATEMENTS = env.boolean("DB_PREPARED_STATEMENTS", True)  # off behind a transaction-pooling PgBouncer


def _database() -> dict[str, Any]:
    config: dict[str, Any] = dict(dj_database_url.parse(DATABASE_URL))
    options: dict[str, Any] = config.setdefault("OPTIONS", {})
    if config["ENGINE"].endswith("sqlite3"):
        # BEGIN IMMEDIATE takes the write lock at once, so that a reader turning writer cannot fail half-way.
        options.update(
            transaction_mode="IMMEDIATE",
            timeout=30,
            init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=30000;",
        )
    else:
        config["CONN_MAX_AGE"] = env.integer("DB_CONN_MAX_AGE", 600)
        config["CONN_HEALTH_CHECKS"] = True
        options.setdefault("connect_timeout", 5)
        if DB_PREPARED_STATEMENTS:
            # Django switches them off; the ORM's own queries are not prepared either way, the engine's statements are.
            options.setdefault("prepare_threshold", 5)
            # Their plans do not depend on their parameters; planning them anew each time costs more than running them.
            options["options"] = f"{options.get('options', '')} -c plan_cache_mode=force_generic_plan".strip()
    return config


DATABASES = {"default": _database()}

# --- Celery -----------------------------------------------------------------------------------------------------------

# While `make up` runs, its Redis on a free port is everybody's default.
_embedded_redis = VAR_DIR / env.EMBEDDED_REDIS
_REDIS_DEFAULT = _embedded_redis.read_text() if _embedded_redis.is_file() else "redis://127.0.0.1:6379/0"
REDIS_URL = env.url("REDIS_URL", _REDIS_DEFAULT, ("redis", "rediss", "unix"))
CELERY_BROKER_URL = env.url(
    "CELERY_BROKER_URL", REDIS_URL, ("redis", "rediss", "amqp", "amqps", "sentinel", "unix", "pyamqp")
)
CELERY_RESULT_BACKEND = env.url("CELERY_RESULT_BACKEND", REDIS_URL, ("redis", "rediss", "unix", "sentinel"))
CELERY_KEY_PREFIX = env.text("CELERY_KEY_PREFIX", "weir:")  # applications that share a broker keep apart by it
CELERY_VISIBILITY_TIMEOUT = env.integer("CELERY_VISIBILITY_TIMEOUT", 3600, low=120)
DJANGO_CELERY_BEAT_TZ_AWARE = True

# --- Queues -----------------------------------------------------------------------------------------------------------

TASK_QUEUE_PREFIX = env.label("TASK_QUEUE_PREFIX", "estuary", longest=40)
# Namespaces on one database and one broker see nothing of each other's executions, queues, workers and schedules.
WORKFLOW_NAMESPACE = env.label("WORKFLOW_NAMESPACE", "default")
_shares_names = "amqp" in CELERY_BROKER_URL.partition(":")[0]  # RabbitMQ has no prefix of keys, as Redis has
if WORKFLOW_NAMESPACE != "default" and _shares_names and not env.is_set("TASK_QUEUE_PREFIX"):
    env.fail("WORKFLOW_NAMESPACE", WORKFLOW_NAMESPACE, "a TASK_QUEUE_PREFIX beside it, with RabbitMQ as the broker")
WORKFLOW_TASK_QUEUE = env.label("WORKFLOW_TASK_QUEUE", f"{TASK_QUEUE_PREFIX}-workflows", longest=100)
WORKFLOW_CRITICAL_QUEUE = f"{TASK_QUEUE_PREFIX}-critical"
WORKFLOW_BACKGROUND_QUEUE = f"{TASK_QUEUE_PREFIX}-background"

# --- The engine (seconds) ---------------------------------------------------------------------------------------------

# How long one worker visit carries steps on before it hands the rest over.
DURABLE_LINK_BUDGET = env.seconds("DURABLE_LINK_BUDGET", 1.0, low=0.001)
# The same for one chunk of a chord's header: small, so that slow steps spread out over the workers again.
DURABLE_CHUNK_BUDGET = env.seconds("DURABLE_CHUNK_BUDGET", 0.1, low=0.001)
# Delays up to this travel as a countdown; longer ones are due rows.
DURABLE_COUNTDOWN_HORIZON = env.seconds("DURABLE_COUNTDOWN_HORIZON", 30.0, high=90.0)
# Starts that follow each other within this time share a message; 0 sends each at once.
DURABLE_GATHER = env.seconds("DURABLE_GATHER", 0.005, low=0.0, high=1.0)
# How often the sweeps run, and how far the sweep of timers looks ahead.
DURABLE_SWEEP_INTERVAL = env.seconds("DURABLE_SWEEP_INTERVAL", 2.0, low=0.05)
DURABLE_LOOKAHEAD = env.seconds("DURABLE_LOOKAHEAD", 5.0, low=0.0, high=90.0)
# A claimed row is looked at again after this long: is its worker alive, has its deadline passed?
DURABLE_LEASE = env.seconds("DURABLE_LEASE", 10.0, low=0.1)
# Seconds without a sign of life after which another beat takes over.
DURABLE_BEAT_LEASE = env.seconds("DURABLE_BEAT_LEASE", 10.0, low=1.0)
# Worker nodes report this often, and count as dead after this silence.
DURABLE_HEARTBEAT_INTERVAL = env.seconds("DURABLE_HEARTBEAT_INTERVAL", 2.0, low=0.05)
DURABLE_WORKER_STALE = env.seconds("DURABLE_WORKER_STALE", 10.0, low=0.2)
# A message that nobody took is published again after this long, doubling up to the maximum.
DURABLE_REPUBLISH_MIN = env.seconds("DURABLE_REPUBLISH_MIN", 15.0, low=0.1)
DURABLE_REPUBLISH_MAX = env.seconds("DURABLE_REPUBLISH_MAX", 60.0, low=0.1)
# A step or an advance that lost its worker this often in a row is a dead letter.
DURABLE_MAX_RECOVERIES = env.integer("DURABLE_MAX_RECOVERIES", 5, low=1)
DURABLE_SWEEP_BATCH = env.integer("DURABLE_SWEEP_BATCH", 200, low=1)
# Live runs of waiting executions that a worker process keeps.
DURABLE_CACHED_WORKFLOWS = env.integer("DURABLE_CACHED_WORKFLOWS", 1000)
# Activities, and advances, that a worker runs at once at most; 0 is as many as its pool has slots. The presets of
# `manage.py start_workflows_worker` set these three: docs/workers.md.
DURABLE_MAX_ACTIVITIES = env.integer("DURABLE_MAX_ACTIVITIES", 0)
DURABLE_MAX_WORKFLOWS = env.integer("DURABLE_MAX_WORKFLOWS", 0)
# Slots that a chord's header is cut for: about two chunks each.
DURABLE_WORKER_SLOTS = env.integer("DURABLE_WORKER_SLOTS", 2, low=1)

# --- Messages to the world --------------------------------------------------------------------------------------------

EMAIL_BACKEND = env.text("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.integer("EMAIL_PORT", 25, low=1, high=65535)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = env.boolean("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = env.seconds("EMAIL_TIMEOUT", 10.0, low=0.1)
# Where the filebased backend, which `make up` chooses, writes what would be sent.
EMAIL_FILE_PATH = env.text("EMAIL_FILE_PATH", str(VAR_DIR / "mail"))
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Weir <weir@localhost>")
# Whether actions may ask for opens and clicks to be noted (docs/automations.md).
EMAIL_TRACKING = env.boolean("EMAIL_TRACKING", True)
# What signs the callbacks of mail providers; without it a provider's callbacks are refused (docs/providers.md).
EMAIL_CALLBACK_SECRET = env.text("EMAIL_CALLBACK_SECRET")
SENDGRID_WEBHOOK_KEY = env.text("SENDGRID_WEBHOOK_KEY")
TWILIO_ACCOUNT_SID = env.text("TWILIO_ACCOUNT_SID")
TWILIO_AUTH_TOKEN = env.text("TWILIO_AUTH_TOKEN")
TWILIO_FROM = env.text("TWILIO_FROM")  # a number, or the id of a messaging service (MG…)
TWILIO_API_URL = env.url("TWILIO_API_URL", "https://api.twilio.com", ("http", "https")).rstrip("/")
SMS_BACKEND = env.text("SMS_BACKEND", "automation.providers.sms.console.ConsoleBackend")
PAYMENTS_BACKEND = env.text("PAYMENTS_BACKEND", "automation.providers.payments.memory.MemoryBackend")
PAYMENTS_TIMEOUT = env.seconds("PAYMENTS_TIMEOUT", 30.0, low=0.1)
STRIPE_API_KEY = env.text("STRIPE_API_KEY")
STRIPE_API_URL = env.url("STRIPE_API_URL", "https://api.stripe.com", ("http", "https")).rstrip("/")
# "memory" (rows of ours), "daily" (Daily.co), or the dotted path of a backend.
VIDEO_BACKEND = env.text("VIDEO_BACKEND", "memory")
DAILY_API_KEY = env.text("DAILY_API_KEY")
DAILY_API_URL = env.url("DAILY_API_URL", "https://api.daily.co/v1", ("http", "https"))
WEBHOOK_ALLOWED_HOSTS = env.words("WEBHOOK_ALLOWED_HOSTS", [])  # host or host:port that may be private or loopback
WEBHOOK_TIMEOUT = env.seconds("WEBHOOK_TIMEOUT", 10.0, low=0.1)
# The Python workflows that every organizer's actions may start ("*": all); staff's may start any.
ORGANIZER_WORKFLOWS = env.words("ORGANIZER_WORKFLOWS", [])
# Outbound calls of actions, by organizer and host: after so many failures in a row they wait (0: never), and one call a
# pause, doubling from the first to the longest, tries whether the other end is back. None waits longer than the hold.
OUTBOUND_BREAKER_FAILURES = env.integer("OUTBOUND_BREAKER_FAILURES", 5)
OUTBOUND_BREAKER_PAUSE = env.seconds("OUTBOUND_BREAKER_PAUSE", 30.0, low=0.1)
OUTBOUND_BREAKER_LONGEST = env.seconds("OUTBOUND_BREAKER_LONGEST", 600.0, low=0.1)
OUTBOUND_HOLD = env.seconds("OUTBOUND_HOLD", 3 * 86_400.0, low=1.0, high=90 * 86_400.0)
# How many calls an organizer makes at most, to one host and to all; a host can be given a rate of its own.
OUTBOUND_RATE_HOST = env.rate("OUTBOUND_RATE_HOST", "off")
OUTBOUND_RATE_ORGANIZER = env.rate("OUTBOUND_RATE_ORGANIZER", "off")
# Fernet keys (comma-separated, newest first) that encrypt secrets at rest; derived from SECRET_KEY where unset.
ENCRYPTION_KEYS = env.words("ENCRYPTION_KEYS", [])
# The same for payloads (inputs, results, heartbeat details, failures), which are plain JSON where no key is set.
# PAYLOAD_CODEC: another codec's dotted path; "off" seals nothing new and opens what is sealed.
PAYLOAD_KEYS = env.words("PAYLOAD_KEYS", [])
PAYLOAD_CODEC = env.text("PAYLOAD_CODEC")

# How old messages get (`notifications/`), at least as old as their executions; their numbers stay.
NOTIFICATION_KEEP_DAYS = env.integer("NOTIFICATION_KEEP_DAYS", 365, low=1, high=36_500)

# --- Operations -------------------------------------------------------------------------------------------------------

# Where BackupWorkflow keeps its files: the hosts that serve the queue of ops must share it.
BACKUP_DIR = env.text("BACKUP_DIR", str(VAR_DIR / "backups"))
# How old its files get; the last that was verified stays.
BACKUP_KEEP_DAYS = env.integer("BACKUP_KEEP_DAYS", 14, low=1)
# When beat starts these workflows (cron, UTC), or "off": BackupWorkflow, RoomMaintenanceWorkflow, RoomCleanupWorkflow.
BACKUP_SCHEDULE = env.cron("BACKUP_SCHEDULE", "off")
ROOM_MAINTENANCE_SCHEDULE = env.cron("ROOM_MAINTENANCE_SCHEDULE", "40 */6 * * *")
ROOM_CLEANUP_SCHEDULE = env.cron("ROOM_CLEANUP_SCHEDULE", "20 * * * *")
# The directory of pg_dump and pg_restore, where those on the PATH are older than the server.
POSTGRES_BIN = env.text("POSTGRES_BIN")
# What deployments and provisionings may run their commands through on this host: local, ssh. None unless named, since
# who may start a workflow may then run any command as this process.
OPS_RUNNERS = env.words("OPS_RUNNERS", [])

# --- API --------------------------------------------------------------------------------------------------------------

# Requests per user and per anonymous address, in each web process; "off" lifts the limit.
API_THROTTLE_USER = env.rate("API_THROTTLE_USER", "1200/min")
API_THROTTLE_ANON = env.rate("API_THROTTLE_ANON", "60/min")
# Events of other schedulers, for each source and address.
INBOUND_RATE = env.rate("INBOUND_RATE", "600/min")
# Proxies in front that append to X-Forwarded-For; with 0 the address of the connection counts.
API_PROXIES = env.integer("API_PROXIES", 0, high=10)
API_MAX_BODY_BYTES = env.integer("API_MAX_BODY_BYTES", 2 * 1024 * 1024, low=1024)
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "automation.api.authentication.TokenAuthentication",
        "automation.api.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["automation.api.renderers.SafeJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["automation.api.parsers.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "automation.api.pagination.Pages",
    "DEFAULT_FILTER_BACKENDS": [
        "automation.api.filters.Filters",
        "rest_framework.filters.SearchFilter",
        "automation.api.filters.StableOrderingFilter",
    ],
    "DEFAULT_THROTTLE_CLASSES": [
        "automation.api.throttling.UserThrottle",
        "automation.api.throttling.AnonymousThrottle",
    ],
    "DEFAULT_METADATA_CLASS": "automation.api.metadata.Methods",
    "DEFAULT_SCHEMA_CLASS": "automation.api.schema.EnvelopeSchema",
    "EXCEPTION_HANDLER": "automation.api.errors.handle",
    "NUM_PROXIES": API_PROXIES,
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "TEST_REQUEST_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Weir",
    "DESCRIPTION": (
        "Durable workflows for Django, carried by Celery.\n\n"
        'Every error is `{"error": {"code", "message", "fields"}}`, whatever its status. A method that a path does not '
        "have is a 405 whose `Allow` header names those that it has; a path that there is not is a 404."
    ),
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "TriggerEnum": "automation.models.Trigger",
        "BookingStatusEnum": "automation.models.BookingStatus",
        "ExecutionStatusEnum": "automation.models.ExecutionStatus",
        "StepStatusEnum": "automation.models.StepStatus",
        "StepKindEnum": "automation.models.StepKind",
        "LatePolicyEnum": "automation.models.LatePolicy",
        "OnFailureEnum": "automation.models.OnFailure",
        "RecipientEnum": "automation.models.Recipient",
        "CircuitStateEnum": "automation.models.CircuitState",
        "InboundStatusEnum": "automation.models.InboundStatus",
        "SourceKindEnum": "automation.models.SourceKind",
        "LocationTypeEnum": "automation.models.LocationType",
        "NotificationStatusEnum": "automation.models.NotificationStatus",
        "NotificationChannelEnum": "automation.models.Channel",
        "CheckStatusEnum": "automation.api.serializers.choices.CHECK_STATUSES",
        "TrialStatusEnum": "automation.api.serializers.choices.TRIAL_STATUSES",
        "TimingStateEnum": "automation.api.serializers.choices.TIMING_STATES",
        "ActionTimeStateEnum": "automation.api.serializers.choices.ACTION_TIME_STATES",
        "ChangeKindEnum": "automation.api.serializers.choices.CHANGE_KINDS",
        "TimelineKindEnum": "automation.api.serializers.choices.TIMELINE_KINDS",
        "ActionStatusEnum": "automation.api.serializers.choices.ACTION_STATUSES",
    },
}

# --- Flower -----------------------------------------------------------------------------------------------------------

FLOWER_PORT = env.integer("FLOWER_PORT", 5555, low=1, high=65535)
FLOWER_BASIC_AUTH = env.text("FLOWER_BASIC_AUTH", "weir:weir")

# --- Logging ----------------------------------------------------------------------------------------------------------

LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.choice("LOG_FORMAT", "console", ("console", "json"))
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "console": {"format": "%(levelname)s %(name)s: %(message)s"},
        "json": {"()": "project.logs.JsonFormatter"},
    },
    "filters": {"without_ticks": {"()": "project.logs.WithoutTicks"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "stream": sys.stderr,
            "formatter": LOG_FORMAT,
            "filters": ["without_ticks"],
        }
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
}
