"""
Make the tables of the project, and what the tests want to find in them.
"""

from __future__ import annotations

import django

USERS = 20


def main():
    django.setup()
    from django.contrib.auth.models import User
    from django.contrib.flatpages.models import FlatPage
    from django.contrib.redirects.models import Redirect
    from django.contrib.sites.models import Site
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    site, _ = Site.objects.update_or_create(pk=1, defaults={"domain": "127.0.0.1"})
    flatpage = FlatPage.objects.create(url="/about/", title="About", content="us")
    flatpage.sites.add(site)
    Redirect.objects.create(site=site, old_path="/old/", new_path="/page/")
    User.objects.create_superuser("admin", password="secret")
    for number in range(USERS):
        User.objects.create_user(f"user{number}", password="secret")


if __name__ == "__main__":
    main()
