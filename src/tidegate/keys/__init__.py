"""Keys: in come key files, out come signatures, their verification, and who a request's API key belongs to.

Imported by the registry, which signs, and by the serving container, which verifies.
"""
