"""
The setting ``EVERGREEN``; what is wrong with one is told by the checks.
"""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_evergreen.conf import NAMES, options


@pytest.mark.parametrize("name", NAMES)
def test_none_is_the_default(name):
    with override_settings(EVERGREEN={}):
        default = options()
    with override_settings(EVERGREEN={name: None}):
        assert options() == default
