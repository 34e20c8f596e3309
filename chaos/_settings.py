"""
Django for the ledger, with the database that the dice have chosen.
"""

from __future__ import annotations

# The server's own limits: whoever waits for a lock is told so in time.
SESSION = {
    "lock_timeout": "500ms",
    "deadlock_timeout": "50ms",
    "synchronous_commit": "on",
}
APPLICATION = "ledger"
POOL = {"max_size": 8, "timeout": 1.0}


def postgresql(server, dice):
    return {
        "ENGINE": "django_evergreen.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": server.host,
        "PORT": server.port,
        "CONN_HEALTH_CHECKS": dice.happens(0.5),
        "OPTIONS": {
            "application_name": APPLICATION,
            "connect_timeout": 5,
            "options": " ".join(
                f"-c {name}={value}" for name, value in SESSION.items()
            ),
            "pool": pool(dice),
        },
    }


def sqlite(directory, dice):
    return {
        "ENGINE": "django_evergreen.db.backends.sqlite3",
        "NAME": directory / "ledger.sqlite3",
        "OPTIONS": {
            # Seconds to wait for the one writer.
            "timeout": 0.5,
            "transaction_mode": dice.choice(["DEFERRED", "IMMEDIATE"]),
            # Readers and the writer don't wait for each other.
            "init_command": "PRAGMA journal_mode = WAL",
            "pool": pool(dice),
        },
    }


def pool(dice):
    return {
        **POOL,
        "min_size": dice.choice([0, 2]),
        "max_lifetime": dice.choice([0.5, 60.0]),
        "max_idle": dice.choice([0.05, 60.0]),
    }


def configure(database):
    """
    Set up Django, and make the tables.
    """
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": database},
        INSTALLED_APPS=["django_evergreen", "chaos.ledger"],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
