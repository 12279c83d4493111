"""The only settings file. Everything that differs between installations comes from the environment."""

import zoneinfo
from pathlib import Path

import dj_database_url
import django_stubs_ext

from cabinet.env import Required, env_bool, env_choices, env_int, env_list, env_networks, env_str

# Makes `ModelAdmin[Merchant]` and its like subscriptable at run time too.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

SANDBOX = env_bool("SANDBOX")
DEBUG = env_bool("DEBUG")
HTTPS = env_bool("HTTPS")

_required = Required(enforced=not SANDBOX)

LOCAL_DIR = Path(env_str("LOCAL_DIR", str(BASE_DIR / ".local")))
CLOCK_FILE = LOCAL_DIR / "clock"
PORT = env_int("PORT", 8000)
SANDBOX_PORT = env_int("SANDBOX_PORT", 8100)
SANDBOX_URL = f"http://localhost:{SANDBOX_PORT}"

SECRET_KEY = _required.secret("SECRET_KEY", "sandbox-only-" + "k" * 50)
# Fernet keys: the first encrypts, all decrypt. The fallback protects nothing and exists in the sandbox only.
FIELD_KEYS = env_list(
    "FIELD_KEYS", [_required.secret("FIELD_KEYS", "c2FuZGJveC1vbmx5LWtleS1zYW5kYm94LW9ubHkta2U=")]
)

PUBLIC_URL = (
    env_str("PUBLIC_URL", f"http://localhost:{PORT}")
    if SANDBOX
    else _required.secret("PUBLIC_URL", "")
).rstrip("/")
_public_host = PUBLIC_URL.split("//")[-1].split("/")[0].rsplit(":", 1)[0]
ALLOWED_HOSTS = env_list(
    "ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if SANDBOX else [_public_host]
)
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", [PUBLIC_URL] if PUBLIC_URL else [])
# Addresses of our own proxies: the visitor's address and the scheme are taken from them only.
TRUSTED_PROXIES = env_list("TRUSTED_PROXIES")

INSTALLED_APPS = [
    "cabinet.apps.CabinetConfig",
    "subscriptions.apps.SubscriptionsConfig",
    "subscriptions.evotor.apps.EvotorConfig",
    "operators.apps.OperatorsConfig",
    "smartcards.apps.SmartcardsConfig",
    "smartcards.orders.apps.OrdersConfig",
    "cabinet.apps.CabinetAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "csp",
]

MIDDLEWARE = [
    "cabinet.middleware.TrustedProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "cabinet.middleware.MachineMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "cabinet.middleware.FramedSessionMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "cabinet.middleware.NewDeviceMiddleware",
    "cabinet.accounts.access.MerchantMiddleware",
]

ROOT_URLCONF = "cabinet.urls"
WSGI_APPLICATION = "cabinet.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["cabinet.templatetags.ru", "cabinet.templatetags.ui"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "cabinet.context_processors.frame",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.parse(
        _required.secret("DATABASE_URL", "postgres://localhost/cabinet"),
        conn_max_age=60,
        conn_health_checks=True,
    )
}
# A page never hangs on a lock or a lost server: it answers with a sentence instead.
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
DATABASES["default"]["OPTIONS"].setdefault(
    "options",
    "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000",
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = _required.secret("REDIS_URL", "redis://localhost:6379/0")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cabinet",
        # Pages that can do without a cache wait no longer than this for an unreachable Redis.
        "OPTIONS": {"socket_timeout": 0.3, "socket_connect_timeout": 0.3},
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
# At most once, on purpose: every task is only a wake-up call, and a periodic sweep finds lost ones.
CELERY_TASK_ACKS_LATE = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 300
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "visibility_timeout": 600,
    "queue_order_strategy": "round_robin",
}
# Publishing from a page: one quick try; the sweep finds what was not sent.
CELERY_TASK_PUBLISH_RETRY = False
# Comparing a chain's cards takes its time: it never stands before the market's inbox.
CELERY_TASK_QUEUES_NAMES = ("default", "operators", "reconciliation")
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    # Its threads wait for others' servers: a slow gateway must not hold the market's inbox.
    "cabinet.send_messages": {"queue": "operators"},
    "smartcards.dispatch": {"queue": "operators"},
    "smartcards.read": {"queue": "operators"},
    "smartcards.reconcile_merchant": {"queue": "reconciliation"},
    "smartcards.reconcile_just_ended": {"queue": "reconciliation"},
    "smartcards.reconcile_all": {"queue": "reconciliation"},
    "smartcards.import_stock": {"queue": "reconciliation"},
    "smartcards.tell_of_reports": {"queue": "reconciliation"},
    "smartcards.notify": {"queue": "reconciliation"},
    "subscriptions.remind": {"queue": "reconciliation"},
    "cabinet.run_staff_action": {"queue": "reconciliation"},
    "smartcards.mass_operation": {"queue": "reconciliation"},
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "cabinet.tasks.scheduler.StatelessScheduler"
CELERY_BEAT_SCHEDULE = {
    "evotor.sweep": {"task": "evotor.sweep", "schedule": 10.0, "options": {"expires": 10}},
    "smartcards.sweep": {"task": "smartcards.sweep", "schedule": 3.0, "options": {"expires": 3}},
    "smartcards.reconcile_just_ended": {
        "task": "smartcards.reconcile_just_ended",
        "schedule": 3.0,
        "options": {"expires": 3},
    },
    "smartcards.reconcile_all": {
        "task": "smartcards.reconcile_all",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "smartcards.reconcile_all.thorough": {
        "task": "smartcards.reconcile_all",
        "schedule": 600.0,
        "kwargs": {"thorough": True},
        "options": {"expires": 600},
    },
    # Each report is told of once: how often it is looked for only says how late that may be.
    "smartcards.tell_of_reports": {
        "task": "smartcards.tell_of_reports",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    "subscriptions.sweep": {
        "task": "subscriptions.sweep",
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    # Each reminder leaves once: how often it is looked for only says how late one may be.
    "subscriptions.remind": {
        "task": "subscriptions.remind",
        "schedule": 1800.0,
        "options": {"expires": 1800},
    },
    "smartcards.notify": {
        "task": "smartcards.notify",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "cabinet.sweep": {"task": "cabinet.sweep", "schedule": 30.0, "options": {"expires": 30}},
    "operators.purge": {
        "task": "operators.purge",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
}

AUTH_USER_MODEL = "cabinet.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "cabinet.accounts.passwords.BreachedPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"

# The locked package has the rules of time zones, not whatever the system was installed with.
zoneinfo.reset_tzpath(())
LANGUAGE_CODE = "ru"
TIME_ZONE = "Europe/Moscow"
USE_I18N = True
USE_TZ = True
USE_THOUSAND_SEPARATOR = False

STATIC_URL = "/static/"
STATIC_ROOT = LOCAL_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = DEBUG

# Cookies: Lax everywhere; a session opened inside the market's frame is changed by FramedSessionMiddleware.
# By the prefix browsers refuse a cookie that a neighbouring host or plain http has set.
_COOKIE_PREFIX = "__Host-" if HTTPS else ""
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = f"{_COOKIE_PREFIX}cabinet_session"
# Of anonymous visitors only: `cabinet.accounts.services.sessions` says how long people stay signed in.
SESSION_COOKIE_AGE = 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = HTTPS
# Of visitors without a session only: FramedSessionMiddleware keeps the secret in the session of all others.
CSRF_COOKIE_NAME = f"{_COOKIE_PREFIX}cabinet_csrf"
CSRF_COOKIE_AGE = None
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = HTTPS
CSRF_FAILURE_VIEW = "cabinet.views.errors.csrf_failure"
# A cookie of their own would be lost inside the market's frame.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_REFERRER_POLICY = "same-origin"
# Browsers warn about this header on plain http, so it goes out with HTTPS only.
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if HTTPS else None
X_FRAME_OPTIONS = "DENY"

EVOTOR_FRAME_ANCESTORS = env_list(
    "EVOTOR_FRAME_ANCESTORS",
    ["https://*.evotor.ru", SANDBOX_URL, f"http://127.0.0.1:{SANDBOX_PORT}"]
    if SANDBOX
    else ["https://*.evotor.ru"],
)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

EVOTOR_APP_TOKENS = env_list(
    "EVOTOR_APP_TOKEN", [_required.secret("EVOTOR_APP_TOKEN", "demo-app-token-0123456789")]
)
EVOTOR_BASIC = env_str("EVOTOR_BASIC")
# Whose events about money and installation are believed: `application`, or `application,user`.
EVOTOR_EVENT_TOKENS = env_choices("EVOTOR_EVENT_TOKENS", ["application"], ("application", "user"))
EVOTOR_PRODUCT_ID = _required.secret("EVOTOR_PRODUCT_ID", "5f0c2a7e-3d1b-4c8e-9a64-1b7d2f8c9e10")
EVOTOR_API_URL = env_str(
    "EVOTOR_API_URL", f"{SANDBOX_URL}/evotor" if SANDBOX else "https://api.evotor.ru"
)
EVOTOR_MARKET_URL = env_str(
    "EVOTOR_MARKET_URL",
    f"{SANDBOX_URL}/market" if SANDBOX else "https://market.evotor.ru/store/apps",
)
EVOTOR_HOOK_MAX_BYTES = 10 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = EVOTOR_HOOK_MAX_BYTES + 1024

SMS_URL = (
    env_str("SMS_URL", f"{SANDBOX_URL}/messages/sms")
    if SANDBOX
    else _required.secret("SMS_URL", "")
)
EMAIL_URL = env_str("EMAIL_URL", f"{SANDBOX_URL}/messages/email" if SANDBOX else "console:")
# Codes go to mobile numbers of these countries only: others cost money and are what toll fraud pumps.
SMS_COUNTRIES = env_list("SMS_COUNTRIES", ["RU"])
SUPPORT_PHONE = env_str("SUPPORT_PHONE", "+7 800 555-01-00")
SUPPORT_EMAIL = env_str("SUPPORT_EMAIL", "support@kassovye.example")
DEFAULT_FROM_EMAIL = env_str("DEFAULT_FROM_EMAIL", "Кассовые сервисы <no-reply@kassovye.example>")

OPERATORS = {
    "mts": "operators.adapters.mts.Mts",
    "beeline": "operators.adapters.beeline.Beeline",
    "tmf640": "operators.adapters.tmf640.Tmf640",
    "control_center": "operators.adapters.control_center.ControlCenter",
    "declared": "operators.adapters.declarative.Declarative",
}

# Private networks in which operators stand, reached by VPN; everything that is public is allowed anyway.
OPERATOR_NETWORKS = env_networks("OPERATOR_NETWORKS")

# Parts of several apps, by dotted path: cabinet imports no other app.
SANDBOX_PARTS = [
    "cabinet.sandbox.messages.MessagesPart",
    "cabinet.sandbox.clock.ClockPart",
    "subscriptions.evotor.sandbox.routes.make",
    "operators.sandbox.routes.make_demo",
]
DEMO_PARTS = [
    "cabinet.demo.seed",
    "subscriptions.demo.seed",
    "subscriptions.evotor.demo.seed",
    "operators.demo.contracts.seed",
    "smartcards.demo.seed",
]
HEALTH_CHECKS = ["cabinet.health.check", "smartcards.monitoring.health_checks.check"]
MERCHANT_PANELS = [
    "subscriptions.panels.subscriptions",
    "subscriptions.evotor.panels.deliveries",
    "smartcards.panels.cards",
    "smartcards.panels.mass_operations",
    "smartcards.orders.panels.orders",
    "cabinet.admin.messages.panel",
]
# What the merchant's first page says besides the cards themselves.
FIRST_PAGE_NOTICES = ["smartcards.orders.panels.running"]

# Panels of the admin's first page, in their order there; each is a `cabinet.admin.today.TodayPanel`.
TODAY_PANELS = [
    "smartcards.orders.panels.orders_today",
    "smartcards.panels.commands_today",
    "cabinet.admin.today.alerts",
    "smartcards.panels.operators_today",
    "subscriptions.evotor.panels.deliveries_today",
    "operators.panels.callbacks_today",
]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "cabinet.logs.lines.OneLineFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO"},
        # The request line of a 404 or 403 would carry the query string, and with it the entry token.
        "django.request": {"level": "ERROR"},
        # Its warning about broken headers prints the whole address.
        "urllib3": {"level": "ERROR"},
    },
}

_required.check()
