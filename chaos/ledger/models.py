"""
The ledger: what is moved between accounts is neither lost nor made.
"""

from __future__ import annotations

from django.db import models


class Account(models.Model):
    name = models.CharField(max_length=20, unique=True)
    balance = models.BigIntegerField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(balance__gte=0), name="no_overdraft"
            )
        ]

    def __str__(self):
        return self.name


class Transfer(models.Model):
    source = models.ForeignKey(Account, models.PROTECT, related_name="sent")
    target = models.ForeignKey(Account, models.PROTECT, related_name="received")
    amount = models.PositiveIntegerField()
    token = models.CharField(max_length=60, unique=True)

    def __str__(self):
        return self.token
