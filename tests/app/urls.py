"""
Views for tests that need a request.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import JsonResponse
from django.shortcuts import render
from django.urls import path

from django_evergreen.bridge import run_sync

from .models import Book


async def book(request, pk):
    found = await Book.objects.select_related("author").aget(pk=pk)
    seen = await request.session.aget("seen", 0) + 1
    await request.session.aset("seen", seen)
    return JsonResponse({"author": found.author.name, "seen": seen})


async def page(request, pk):
    found = await Book.objects.aget(pk=pk)
    return await run_sync(render, request, "book.html", {"book": found})


urlpatterns = [
    path("admin/", admin.site.urls),
    path("books/<int:pk>/", book),
    path("books/<int:pk>/page/", page),
]
