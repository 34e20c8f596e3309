"""
A small project, served in three ways: WSGI, stock ASGI, and django-evergreen.
"""
