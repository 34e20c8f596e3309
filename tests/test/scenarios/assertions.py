"""
Django's blocks and assertions in async tests. Tests named "fails" have to.
"""

from __future__ import annotations

import asyncio

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.messages.test import MessagesTestMixin
from django.core.exceptions import SynchronousOnlyOperation
from django.core.signals import setting_changed
from django.db import connection, models
from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.test import RequestFactory, modify_settings, override_settings
from django.test.utils import isolate_apps
from django.urls import path

from django_evergreen.bridge import portal, run_sync
from django_evergreen.test import (
    AsyncSimpleTestCase,
    AsyncTestCase,
    AsyncTransactionTestCase,
)
from tests.app.models import Author, Book


async def redirect(request, url="/count/?a=1"):
    return HttpResponseRedirect(url)


async def count(request):
    messages.info(request, "counted")
    return HttpResponse(f"There are {await Author.objects.acount()}.")


async def stream(request):
    async def parts():
        async for author in Author.objects.order_by("pk"):
            yield f"<p>{author.name}</p>"

    return StreamingHttpResponse(parts())


def sync_stream(request):
    def parts():
        for author in Author.objects.order_by("pk"):
            yield f"<p>{author.name}</p>"

    return StreamingHttpResponse(parts())


urlpatterns = [
    path("redirect/", redirect),
    path("relative/", redirect, {"url": "below/"}),
    path("relative/below/", count),
    path("count/", count),
    path("stream/", stream),
    path("sync_stream/", sync_stream),
]


class BookForm(forms.Form):
    author = forms.ModelChoiceField(Author.objects.all())


class Settings:
    @override_settings(COLOUR="green")
    @modify_settings(COLOURS={"append": "green"})
    async def test_decorators_of_methods(self):
        self.assertEqual(settings.COLOUR, "green")
        self.assertEqual(settings.COLOURS, ["red", "green"])

    async def test_decorators_of_the_class(self):
        self.assertEqual(settings.COLOUR, "red")
        self.assertEqual(settings.COLOURS, ["red"])

    async def test_blocks(self):
        async def look():
            return settings.COLOUR

        running = asyncio.create_task(look())
        with override_settings(COLOUR="blue"):
            self.assertEqual(await running, "blue")
            self.assertEqual(await asyncio.to_thread(lambda: settings.COLOUR), "blue")
            with self.settings(COLOUR="white"):
                self.assertEqual(await asyncio.create_task(look()), "white")
        async with self.settings(COLOUR="blue"):
            self.assertEqual(await look(), "blue")
        async with self.modify_settings(COLOURS={"prepend": "blue"}):
            self.assertEqual(settings.COLOURS, ["blue", "red"])
        with self.modify_settings(COLOURS={"remove": "red"}):
            self.assertEqual(settings.COLOURS, [])
        await self.enterAsyncContext(self.settings(COLOUR="black"))
        self.assertEqual(settings.COLOUR, "black")

    async def test_enabled_by_hand(self):
        block = self.settings(COLOUR="blue")
        block.enable()
        self.addCleanup(block.disable)
        self.assertEqual(settings.COLOUR, "blue")

    def test_sync(self):
        with self.settings(COLOUR="blue"):
            self.assertEqual(settings.COLOUR, "blue")
        self.assertEqual(settings.COLOUR, "red")

    @isolate_apps("tests.app")
    async def test_isolated_apps(self):
        class Chapter(models.Model):
            class Meta:
                app_label = "app"

        with isolate_apps("tests.app") as apps:

            class Page(models.Model):
                class Meta:
                    app_label = "app"

            self.assertEqual(Page._meta.apps, apps)
        self.assertNotEqual(Chapter._meta.apps, apps)


@override_settings(COLOUR="red", COLOURS=[])
@modify_settings(COLOURS={"append": "red"})
class SimpleSettings(Settings, AsyncSimpleTestCase):
    pass


class Database(MessagesTestMixin):
    async def test_settings_whose_receivers_query(self):
        def count(**kwargs):
            counts.append(Author.objects.count())

        counts = []
        setting_changed.connect(count)
        self.addCleanup(setting_changed.disconnect, count)
        async with self.settings(COLOUR="blue"):
            await Author.objects.acreate(name="a")
        self.assertEqual(counts, [0, 1])

    async def test_time_zone(self):
        def zone():
            with connection.cursor() as cursor:
                cursor.execute("SHOW TIMEZONE")
                return cursor.fetchone()[0]

        if connection.vendor != "postgresql":
            return
        for name in ("Asia/Tokyo", "Europe/Paris"):
            async with self.settings(USE_TZ=False, TIME_ZONE=name):
                self.assertEqual(await run_sync(zone), name)
                self.assertEqual(await asyncio.create_task(run_sync(zone)), name)
        self.assertEqual(await run_sync(zone), "UTC")
        self.assertEqual(await asyncio.create_task(run_sync(zone)), "UTC")

    async def test_subtests(self):
        for name in "ab":
            with self.subTest(name=name):
                await Author.objects.acreate(name=name)
        self.assertEqual(await Author.objects.acount(), 2)

    async def test_subtests_that_fail(self):
        for name in "abc":
            with self.subTest(name=name):
                async with self.assertNumQueries(1):
                    await Author.objects.acreate(name=name)
                self.assertEqual(name, "b")
        self.assertEqual(await Author.objects.acount(), 3)

    async def test_querysets(self):
        author = await Author.objects.acreate(name="a")
        authors = Author.objects.all()
        await self.aassertQuerySetEqual(authors, ["a"], transform=str)
        self.assertQuerySetEqual(authors, [author])
        self.assertQuerySetEqual([author], [author])
        with self.assertRaises(AssertionError):
            await self.aassertQuerySetEqual(Author.objects.all(), [])
        with self.assertRaisesMessage(SynchronousOnlyOperation, "await"):
            self.assertQuerySetEqual(Author.objects.all(), [author])

    @portal
    async def test_querysets_in_a_portal(self):
        self.assertQuerySetEqual(Author.objects.all(), [])

    async def test_redirects(self):
        response = await self.async_client.get("/redirect/")
        await self.aassertRedirects(response, "/count/?a=1")
        with self.assertRaisesMessage(AssertionError, "expected '/other/'"):
            await self.aassertRedirects(response, "/other/")
        with self.assertRaisesMessage(AssertionError, "was 200 (expected 404)"):
            await self.aassertRedirects(response, "/count/?a=1", target_status_code=404)
        self.assertIs(response.client, self.async_client)
        self.assertRedirects(response, "/count/?a=1", fetch_redirect_response=False)
        response = await self.async_client.get("/relative/")
        await self.aassertRedirects(response, "/relative/below/")
        response = await self.async_client.get("/redirect/", follow=True)
        self.assertRedirects(response, "/count/?a=1")
        response = await run_sync(self.client.get, "/redirect/")
        await self.aassertRedirects(response, "/count/?a=1")

    async def test_contents(self):
        await Author.objects.acreate(name="a")
        response = await self.async_client.get("/count/")
        self.assertContains(response, "There are 1.")
        self.assertNotContains(response, "There are 2.")
        for url in ("/stream/", "/sync_stream/"):
            response = await self.async_client.get(url)
            await self.aassertContains(response, "<p>a</p>", count=1, html=True)
            await self.aassertNotContains(response, "<p>b</p>")
        with self.assertRaisesMessage(AssertionError, "Couldn't find 'b'"):
            await self.aassertContains(response, "b")

    async def test_content_that_is_not_rendered(self):
        book = Book(title="b", author=await Author.objects.acreate(name="a"))
        await book.asave()
        response = TemplateResponse(
            RequestFactory().get("/"), "book.html", {"book": book}
        )
        await self.aassertContains(response, "b")

    async def test_messages(self):
        response = await self.async_client.get("/count/")
        expected = [messages.Message(messages.INFO, "counted")]
        await self.aassertMessages(response, expected)
        with self.assertRaises(AssertionError):
            await self.aassertMessages(response, [])

    async def test_templates(self):
        book = await Book.objects.acreate(
            title="b", author=await Author.objects.acreate(name="a")
        )
        async with self.settings(ROOT_URLCONF="tests.app.urls"):
            async with self.assertTemplateUsed("book.html") as block:
                response = await self.async_client.get(f"/books/{book.pk}/page/")
                names = [template.name for template in block.rendered_templates]
            self.assertEqual(names, ["book.html"])
            self.assertTemplateUsed(response, "book.html")
            self.assertTemplateNotUsed(response, "other.html")
            with self.assertTemplateUsed(template_name="book.html"):
                await run_sync(render_to_string, "book.html", {"book": book})
        async with self.assertTemplateNotUsed("book.html"):
            await self.async_client.get("/count/")
        with self.assertRaises(AssertionError):
            async with self.assertTemplateUsed("book.html"):
                pass

    async def test_forms(self):
        form = BookForm({"author": 1})
        error = (
            "Select a valid choice. That choice is not one of the available choices."
        )
        await self.aassertFormError(form, "author", error)
        data = {"form-TOTAL_FORMS": 1, "form-INITIAL_FORMS": 0, "form-0-author": 1}
        formset = forms.formset_factory(BookForm)(data)
        await self.aassertFormSetError(formset, 0, "author", error)

    async def test_messages_of_errors(self):
        with self.assertRaisesMessage(Author.DoesNotExist, "matching query does not"):
            await Author.objects.aget(name="a")


@override_settings(ROOT_URLCONF=__name__)
class Rollback(Database, AsyncTestCase):
    pass


@override_settings(ROOT_URLCONF=__name__)
class Flush(Database, AsyncTransactionTestCase):
    pass


@override_settings(COLOUR="red", COLOURS=[])
@modify_settings(COLOURS={"append": "red"})
class RollbackSettings(Settings, AsyncTestCase):
    pass


@override_settings(COLOUR="red", COLOURS=[])
@modify_settings(COLOURS={"append": "red"})
class FlushSettings(Settings, AsyncTransactionTestCase):
    pass
