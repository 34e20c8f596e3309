"""
The settings and views of the project. Each way is a process of its own.
"""

from __future__ import annotations

import asyncio
import os

from django.conf import settings
from django.http import JsonResponse
from django.urls import path

WAYS = {
    "wsgi": "Django, WSGI",
    "asgi": "Django, ASGI",
    "evergreen": "django-evergreen",
}
# What may follow a way, behind a hyphen: Django as it's set up unless told, with a new
# connection for each request; and what WSGI would cost on an event loop, at least.
DEFAULT, FLOOR = "default", "floor"

STOCK = "django.db.backends.postgresql"
EVERGREEN = "django_evergreen.db.backends.postgresql"


def configure(way, database, pool_size=10):
    """
    Set Django up as a project that is served in one of the WAYS would be.
    """
    way, _, variant = way.partition("-")
    own = {"ENGINE": STOCK, "CONN_MAX_AGE": None}
    if variant == DEFAULT:
        own = {"ENGINE": STOCK}
    elif way == "asgi":
        # Each request has a thread of its own, which would keep its connection.
        own = {"ENGINE": STOCK, "OPTIONS": {"pool": {"max_size": pool_size}}}
    elif way == "evergreen":
        own = {"ENGINE": EVERGREEN, "OPTIONS": {"pool": {"max_size": pool_size}}}
    settings.configure(
        SECRET_KEY="only for benchmarks",
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {**database, **own}},
        INSTALLED_APPS=[
            *(["django_evergreen"] if way == "evergreen" else []),
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
        ],
        # Those of a new project.
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
        ROOT_URLCONF=__name__,
        EVERGREEN={"ON_LOOP": [__name__]},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    import django

    django.setup()


def application(way):
    """
    Return the WSGI or ASGI application.
    """
    if way.startswith("wsgi"):
        from django.core.wsgi import get_wsgi_application as get_application
    elif way.startswith("asgi"):
        from django.core.asgi import get_asgi_application as get_application
    else:
        from django_evergreen.asgi import get_asgi_application as get_application
    return get_application()


def log_in():
    """
    Make a user and his session; return its cookie.
    """
    from django.contrib.auth import login
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore
    from django.http import HttpRequest

    user, _ = User.objects.get_or_create(username="benchmark")
    request = HttpRequest()
    request.session = SessionStore()
    login(request, user, "django.contrib.auth.backends.ModelBackend")
    request.session.save()
    return f"sessionid={request.session.session_key}"


# Those of the next views: the session, its user and the view's own.
QUERIES = 3

# The views: the same work, as sync code for WSGI and as async code for ASGI.


def one_query(request):
    from django.contrib.auth.models import Permission

    name = Permission.objects.get(pk=1).name
    return JsonResponse({"user": request.user.username, "name": name})


async def aone_query(request):
    from django.contrib.auth.models import Permission

    user = await request.auser()
    name = (await Permission.objects.aget(pk=1)).name
    return JsonResponse({"user": user.username, "name": name})


def empty(request):
    return JsonResponse({})


async def aempty(request):
    return JsonResponse({})


def _sleep(seconds):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s)", [seconds])


async def ten_queries(request):
    """
    Ten queries at once, of 5 ms each on the server.
    """
    from asgiref.sync import sync_to_async

    if os.environ["WAY"] == "evergreen":
        from django_evergreen.bridge import run_sync

        await asyncio.gather(*(run_in_task(run_sync, _sleep, 0.005) for _ in range(10)))
    else:
        await asyncio.gather(*(sync_to_async(_sleep)(0.005) for _ in range(10)))
    return JsonResponse({})


async def run_in_task(call, *args):
    return await call(*args)


async def upstream(request):
    """
    Wait a second for somebody else, between two queries.
    """
    from django.contrib.auth.models import Permission

    first = await Permission.objects.aget(pk=1)
    await asyncio.sleep(1)
    second = await Permission.objects.aget(pk=2)
    return JsonResponse({"names": [first.name, second.name]})


urlpatterns = [
    path("empty/", empty),
    path("aempty/", aempty),
    path("one/", one_query),
    path("aone/", aone_query),
    path("ten/", ten_queries),
    path("upstream/", upstream),
]
