"""
A model whose changes are recorded by three packages.
"""

from __future__ import annotations

import reversion
from auditlog.registry import auditlog
from django.contrib import admin
from django.db import models
from simple_history.models import HistoricalRecords


@reversion.register
class Article(models.Model):
    title = models.CharField(max_length=100)
    history = HistoricalRecords()

    def __str__(self):
        return self.title


auditlog.register(Article)


@admin.register(Article)
class ArticleAdmin(admin.ModelAdmin):
    search_fields = ["title"]
    list_display = ["title"]
