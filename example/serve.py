"""
Run the example on http://127.0.0.1:8000, on evergreen and SQLite: ``make serve``.

The first run makes the database. ``--port`` takes another port.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys

import django
import uvicorn
from django.core.management import call_command
from django.db import connections

HOST = "127.0.0.1"

WELCOME = """
Open one of these (Ctrl-C stops the server):

  {url}/                       countries, rendered lazily in an async view
  {url}/countries/CH/          one country, its relations and cities
  {url}/api/cities/?q=san      JSON: cities by their names
  {url}/api/countries/JP/      JSON: a country with its neighbours
  {url}/admin/                 the admin; make yourself a user first:

    {python} example/manage.py createsuperuser
"""


def main() -> None:
    """
    Prepare the data, say where to look, and serve.
    """
    port = _parse_port()
    _refuse_taken_port(port)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "atlas.settings")
    # Tracebacks in the browser and the admin's styles, as `runserver` has them.
    os.environ.setdefault("EXAMPLE_DEBUG", "1")
    django.setup()
    _prepare_data()
    print(WELCOME.format(url=f"http://{HOST}:{port}", python=_python()), flush=True)
    uvicorn.run("atlas.asgi:application", host=HOST, port=port)


def _parse_port() -> int:
    parser = argparse.ArgumentParser(description="Serve the example.")
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    return parser.parse_args().port


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as listener:
        # A port that a server has just left is free, as it will be for uvicorn.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except (OSError, OverflowError) as error:
            sys.exit(
                f"Can't listen on {HOST}:{port}: {error}.\n"
                f"Stop what runs there, or choose another port:\n\n"
                f"    {_python()} example/serve.py --port {port + 1}"
            )


def _prepare_data() -> None:
    from places.models import City  # Needs Django to be set up.

    call_command("migrate", verbosity=0)
    if not City.objects.exists():
        call_command("load_places")
    connections.close_all()


def _python() -> str:
    """
    Return how to type the running Python: relative where that is shorter.
    """
    relative = os.path.relpath(sys.executable)
    return min(relative, sys.executable, key=len)


if __name__ == "__main__":
    main()
