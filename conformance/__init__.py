"""
Django's own test suite, and those of third parties, as the judges.

Each runs on the stock engine and on this package's, and each test must end in
the same way. See ``python -m conformance --help``.
"""
