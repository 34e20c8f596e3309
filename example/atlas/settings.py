"""
Settings of the example project: Django's defaults, on either stack.
"""

from __future__ import annotations

import os

from atlas import stack
from atlas.databases import databases

SECRET_KEY = os.environ.get(
    "EXAMPLE_SECRET_KEY", "an-example-key-that-everyone-knows-so-never-deploy-it"
)
DEBUG = os.environ.get("EXAMPLE_DEBUG", "0") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]

INSTALLED_APPS = [
    *stack.INSTALLED_APPS,  # "django_evergreen" comes first.
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "places",
]

# What `django-admin startproject` writes, unchanged.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = databases()
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

ROOT_URLCONF = "atlas.urls"
ASGI_APPLICATION = "atlas.asgi.application"
WSGI_APPLICATION = "atlas.wsgi.application"
# Runs async tests on one event loop, those of django.test.TestCase, too.
TEST_RUNNER = stack.TEST_RUNNER
STATIC_URL = "static/"
USE_TZ = True

# Django prints errors only while DEBUG is on; the log of a server needs them always.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
    },
}
