"""
The ASGI application, on either stack.
"""

from __future__ import annotations

import os

from atlas.stack import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "atlas.settings")

application = get_asgi_application()
