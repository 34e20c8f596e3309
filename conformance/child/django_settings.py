"""
The settings with which Django's suite runs, as those that it ships.
"""

from __future__ import annotations

import django

from .._environment import Environment

DATABASES = Environment.read().databases()
SECRET_KEY = "django_tests_secret_key"
# A fast one.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = False
if django.VERSION < (6, 0):
    DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
TEST_RUNNER = "conformance.child.runner.Runner"
