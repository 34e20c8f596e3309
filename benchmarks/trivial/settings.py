"""
Settings for the trivial tests: BENCHMARK_STACK is "stock" or "evergreen",
BENCHMARK_DATABASE is "sqlite" or "postgresql".
"""

from __future__ import annotations

import os

SECRET_KEY = "only for benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
BACKENDS = "django.db.backends"
TEST_RUNNER = "benchmarks.trivial.runner.TimingRunner"

if os.environ["BENCHMARK_STACK"] == "evergreen":
    INSTALLED_APPS.insert(0, "django_evergreen")
    BACKENDS = "django_evergreen.db.backends"

DATABASES = {
    "sqlite": {
        # The test database is in memory, as it is for all who say nothing of it.
        "default": {"ENGINE": f"{BACKENDS}.sqlite3", "NAME": "unused"}
    },
    "postgresql": {
        "default": {
            "ENGINE": f"{BACKENDS}.postgresql",
            "NAME": "postgres",
            "USER": "postgres",
            "HOST": os.environ.get("BENCHMARK_HOST"),
            "PORT": os.environ.get("BENCHMARK_PORT"),
        }
    },
}[os.environ["BENCHMARK_DATABASE"]]
DATABASES["default"]["TEST"] = {"MIGRATE": False}
