"""
With no event loop running, Django is as ever.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from tests.app.models import Author, Book


def test_queries_transactions_and_savepoints(db):
    with transaction.atomic():
        author = Author.objects.create(name="A")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Book.objects.create(title="B", author=author)
            1 / 0
    assert (Author.objects.count(), Book.objects.count()) == (1, 0)


def test_connection_stays_open_between_queries_as_in_stock_django(db):
    Author.objects.count()
    first = connection.connection
    Author.objects.count()
    assert connection.connection is first
    connection.close()
    assert connection.connection is None


def test_threads_have_connections_of_their_own(db):
    wrappers = []

    def query():
        Author.objects.count()
        wrappers.append(connections["default"])
        connection.close()

    thread = threading.Thread(target=query)
    thread.start()
    thread.join()
    assert wrappers[0] is not connections["default"]


def test_iterator_and_commit_hooks(db):
    Author.objects.bulk_create(Author(name=str(n)) for n in range(250))
    names = [author.name for author in Author.objects.iterator(chunk_size=100)]
    assert len(names) == 250
    called = []
    with transaction.atomic():
        transaction.on_commit(lambda: called.append(1))
        assert called == []
    assert called == [1]


def test_dumpdata_and_loaddata(db, tmp_path):
    author = Author.objects.create(name="A")
    Book.objects.create(title="B", author=author)
    fixture = tmp_path / "data.json"
    call_command("dumpdata", "app", output=str(fixture), verbosity=0)
    assert [row["model"] for row in json.loads(fixture.read_text())] == [
        "app.author",
        "app.book",
    ]
    Author.objects.all().delete()
    call_command("loaddata", str(fixture), verbosity=0)
    assert Book.objects.get().author == author


def test_inspectdb_and_sqlflush_and_check(db):
    out = io.StringIO()
    call_command("inspectdb", "app_author", stdout=out)
    assert "class AppAuthor" in out.getvalue()
    out = io.StringIO()
    call_command("sqlflush", stdout=out)
    assert "app_author" in out.getvalue()
    call_command("check", database=["default"], stdout=io.StringIO())


def manage(*arguments, **options):
    """
    Run a management command in a process of its own, on the test database.
    """
    name = str(connection.settings_dict["NAME"])
    code = (
        "import sys, django; django.setup()\n"
        "from django.db import connection\n"
        f"connection.settings_dict['NAME'] = {name!r}\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(['manage.py', *sys.argv[1:]])"
    )
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_migrate_shows_its_plan_in_a_process_of_its_own(db):
    done = manage("migrate", "--plan")
    assert done.returncode == 0, done.stderr
    assert "Planned operations" in done.stdout


def test_migrate_makes_a_new_database(tmp_path, db):
    if connection.vendor == "sqlite":
        name = str(tmp_path / "new.sqlite3")
    else:
        name = "new"
        with connection._nodb_cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS new")
            cursor.execute("CREATE DATABASE new")
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
    connection.close()
    try:
        # Without the app of the tests, which has no migrations.
        call_command("migrate", "sessions", verbosity=0)
        assert "django_session" in connection.introspection.table_names()
        call_command("migrate", "sessions", "zero", verbosity=0)
        assert "django_session" not in connection.introspection.table_names()
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def test_dbshell_opens_the_client_on_the_database(request, db, monkeypatch):
    Author.objects.create(name="seen by the client")
    server = request.config.server
    if server is not None:
        monkeypatch.setenv("PATH", f"{server.bin_path}{os.pathsep}{os.environ['PATH']}")
    done = manage("dbshell", input="SELECT name FROM app_author;\n")
    if "You appear not to have the" in done.stderr:
        pytest.skip("NOT TESTED: dbshell needs the client sqlite3, which is missing")
    assert done.returncode == 0, done.stderr
    assert "seen by the client" in done.stdout


def test_query_counts_are_those_of_stock_django(db):
    with CaptureQueriesContext(connection) as queries:
        author = Author.objects.create(name="A")
        list(Book.objects.select_related("author").filter(author=author))
        Author.objects.filter(pk=author.pk).update(name="B")
        author.delete()
    assert [query["sql"].split()[0] for query in queries] == [
        "INSERT",
        "SELECT",
        "UPDATE",
        *[query["sql"].split()[0] for query in queries[3:]],
    ]


@pytest.mark.only("postgresql")
def test_no_event_loop_is_made(db):
    import asyncio

    Author.objects.count()
    assert asyncio._get_running_loop() is None
    assert type(connection.connection.lock).__module__ == "_thread"
