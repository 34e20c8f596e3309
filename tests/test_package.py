"""
The package as a whole: what it imports, exports and promises.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import django_evergreen

SRC = Path(django_evergreen.__file__).parent
PUBLIC = [
    "django_evergreen",
    "django_evergreen.asgi",
    "django_evergreen.bridge",
    "django_evergreen.db",
    "django_evergreen.test",
]

# What each layer may import of the package; see design, section 8.
LAYERS = {
    "exceptions": set(),
    "bridge": {"exceptions"},
    "conf": {"exceptions"},
    "_placing": {"exceptions", "conf"},
    "db": {"exceptions", "conf", "bridge", "db"},
    "patches": {"exceptions", "conf", "_placing", "bridge", "db", "patches"},
    "asgi": {"exceptions", "conf", "_placing", "bridge", "db", "patches"},
    "cache": {"exceptions", "conf", "bridge"},
    "_remedies": {"_placing"},
    "doctor": {"conf", "_placing", "_remedies", "db", "patches", "asgi"},
    "management": {"doctor"},
    "checks": {"exceptions", "conf", "_placing", "_remedies", "db", "patches", "apps"},
    "apps": {"exceptions", "bridge", "db", "patches", "checks"},
    "test": {"exceptions", "bridge", "db", "patches", "test"},
    "__init__": {"exceptions"},
}
DRIVERS = {"psycopg", "psycopg_pool", "sqlite3", "MySQLdb", "pymysql"}


def modules():
    return sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))


def imports(path):
    """
    Return the absolute names of all modules that a file imports, anywhere.
    """
    package = ["django_evergreen", *path.parent.parts]
    names = set()
    for node in ast.walk(ast.parse((SRC / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base += (node.module or "").split(".") if node.module else []
            names |= {".".join([*base, alias.name]) for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=str)
def test_layers_import_only_what_is_below_them(path):
    layer = path.parts[0].removesuffix(".py")
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "django_evergreen" and len(parts) > 1:
            imported = parts[1]
            assert imported in LAYERS[layer] | {layer}, f"{path} imports {name}"
        if layer in ("exceptions", "bridge"):
            assert parts[0] not in ("django", "asgiref"), f"{path} imports {name}"
        if path.parts[:2] != ("db", "backends"):
            assert parts[0] not in DRIVERS, f"{path} imports {name}"


def test_only_patches_assign_into_django():
    for path in modules():
        if path.parts[0] == "patches":
            continue
        for node in ast.walk(ast.parse((SRC / path).read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr":
                # The storage of django.db.connections, which is itself a patch; and
                # the hooks of test classes of this package.
                assert path in (Path("db/_scopes.py"), Path("test/_classes.py"))


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_and_complete(name):
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__)
    public = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and not inspect.ismodule(value)
        and key not in ("TYPE_CHECKING", "annotations", "apps", "checks")
    }
    assert public | {"__version__"} == {*module.__all__, "__version__"}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_say_where_to_import_them_from(name):
    module = importlib.import_module(name)
    for key in set(module.__all__) - {"__version__"}:
        origin = getattr(module, key).__module__
        assert origin in PUBLIC
        assert hasattr(importlib.import_module(origin), key)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_callables_state_their_scheduling_contract(name):
    module = importlib.import_module(name)
    for key in set(module.__all__) - {"__version__"}:
        thing = getattr(module, key)
        assert thing.__doc__
        is_error_or_data = isinstance(thing, type) and thing.__name__[0].isupper()
        if not is_error_or_data:
            contract = " ".join(thing.__doc__.split())
            assert "Suspends: " in contract, key
            assert "Runs in: " in contract, key


def python(code, **environment):
    """
    Run code in a fresh interpreter and return what it prints.
    """
    environment = {**os.environ, "PYTHONPATH": str(SRC.parent), **environment}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_importing_the_package_loads_neither_django_nor_a_driver():
    code = (
        "import sys, django_evergreen\n"
        "heavy = {'django', 'asgiref', 'greenlet', 'asyncio', 'psycopg', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert python(code) == "[]"


def test_importing_the_bridge_loads_no_django():
    code = (
        "import sys, django_evergreen.bridge\n"
        "heavy = {'django', 'asgiref', 'psycopg', 'sqlite3', 'uvloop', 'anyio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert python(code) == "[]"


def test_importing_the_database_layer_reads_no_settings_and_loads_no_driver():
    code = (
        "import sys, django_evergreen.db\n"
        "from django.conf import settings\n"
        "print(settings.configured, sorted({'psycopg', 'sqlite3'} & set(sys.modules)))"
    )
    assert python(code) == "False []"


def test_every_module_has_a_docstring():
    for path in modules():
        text = (SRC / path).read_text()
        assert not text.strip() or ast.get_docstring(ast.parse(text)), path


def test_every_module_can_be_imported():
    for module in pkgutil.walk_packages([str(SRC)], "django_evergreen."):
        importlib.import_module(module.name)
