"""
Test modules that Hypothesis makes up, each run twice: as async tests by this package's
classes, and as sync tests by Django's own.
"""
