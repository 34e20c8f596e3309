"""
``OPTIONS["pool"]``: read, or refused with the remedy.
"""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from django_evergreen.checks import check_databases
from django_evergreen.db._options import PoolOptions, read_pool_options


@pytest.mark.parametrize("nothing", [None, True, {}])
def test_defaults(nothing):
    assert read_pool_options("default", nothing) == PoolOptions()


def test_options_are_named_as_psycopg_s_pool_names_them():
    options = {"min_size": 2, "max_size": 20, "timeout": 5, "max_idle": 60}
    read = read_pool_options("default", {**options, "num_workers": 3})
    assert read == PoolOptions(**options)


def test_min_size_alone_raises_max_size():
    assert read_pool_options("default", {"min_size": 40}).max_size == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 5}, r"unknown option 'size'\. The options are min_size, max_size"),
        ({"max_size": "5"}, r"max_size='5'\. Set it to a whole number"),
        ({"max_size": True}, "max_size=True"),
        ({"timeout": -1}, r"timeout=-1\. Set it to a number of seconds, 0 or more"),
        ({"max_size": 0}, "max_size must be at least 1"),
        ({"min_size": 5, "max_size": 3}, "not less than min_size"),
        ("yes", r"Set it to True or to a dict"),
    ],
)
def test_wrong_option_is_refused_with_the_remedy(options, message):
    where = r'DATABASES\[\'other\'\]\["OPTIONS"\]\["pool"\]'
    with pytest.raises(ImproperlyConfigured, match=f"{where}.*{message}"):
        read_pool_options("other", options)


def test_wrong_option_is_a_system_check():
    assert check_databases() == []
    settings = connections["default"].settings_dict
    before = settings["OPTIONS"]
    settings["OPTIONS"] = {"pool": {"size": 5}}
    try:
        (error,) = check_databases()
    finally:
        settings["OPTIONS"] = before
    assert error.id == "django_evergreen.E001"
    assert "unknown option 'size'" in error.msg
