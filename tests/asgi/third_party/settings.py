"""
A project with much middleware of third parties, as the variable PROJECT says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = json.loads(os.environ["PROJECT"])
EVERGREEN = PROJECT["evergreen"]
DATABASES = {"default": PROJECT["database"]}

SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.asgi.third_party.urls"
USE_TZ = True
SITE_ID = 1
STATIC_URL = "/static/"
STATIC_ROOT = HERE / "static"
LANGUAGES = [("de", "German"), ("en", "English")]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The default one is slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_REDIRECT_URL = "/template/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.flatpages",
    "django.contrib.messages",
    "django.contrib.redirects",
    "django.contrib.sessions",
    "django.contrib.sites",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "auditlog",
    "corsheaders",
    "csp",
    "debug_toolbar",
    "django_htmx",
    "django_otp",
    "reversion",
    "simple_history",
    "waffle",
    "tests.asgi.third_party",
]
if not PROJECT["stock"]:
    INSTALLED_APPS.insert(0, "django_evergreen")
# Makes the tables at once.
MIGRATION_MODULES = {name.rpartition(".")[2]: None for name in INSTALLED_APPS}

THIRD_PARTY = [
    "corsheaders.middleware.CorsMiddleware",
    "debug_toolbar.middleware.DebugToolbarMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "waffle.middleware.WaffleMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "reversion.middleware.RevisionMiddleware",
    "auditlog.middleware.AuditlogMiddleware",
    "log_request_id.middleware.RequestIDMiddleware",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    *THIRD_PARTY,
    "django.contrib.sites.middleware.CurrentSiteMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
    "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
]
if not PROJECT["third_party"]:
    MIDDLEWARE = [path for path in MIDDLEWARE if path.startswith("django.")]
    # They refuse to be without theirs.
    INSTALLED_APPS.remove("allauth")
    INSTALLED_APPS.remove("allauth.account")

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

ACCOUNT_EMAIL_VERIFICATION = "none"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"default-src": ["'self'"]}}
CORS_ALLOWED_ORIGINS = ["https://example.com"]
PERMISSIONS_POLICY = {"geolocation": []}
REQUEST_ID_RESPONSE_HEADER = "X-Request-Id"
DEBUG_TOOLBAR_PANELS = [
    "debug_toolbar.panels.headers.HeadersPanel",
    "debug_toolbar.panels.sql.SQLPanel",
]
DEBUG_TOOLBAR_CONFIG = {
    "RENDER_PANELS": True,
    "SHOW_TOOLBAR_CALLBACK": "tests.asgi.third_party.urls.wants_toolbar",
}
# An error fails the tests, which look at what is written.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "loggers": {"django": {"handlers": ["console"], "level": "ERROR"}},
}
SILENCED_SYSTEM_CHECKS = ["debug_toolbar.W008"]
