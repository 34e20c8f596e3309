"""
Cache backends that need no thread.

Nothing is imported here: each needs its own driver.
"""
