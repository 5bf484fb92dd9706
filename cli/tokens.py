"""Signed development tokens."""

import time


def sign(secret: str, subject: str, scope: str, ttl_s: int) -> str:
    """Return a JWT (HS256) for a subject with blank-separated scopes, valid for `ttl_s` seconds."""
    import jwt

    now = int(time.time())
    return jwt.encode({"sub": subject, "scope": scope, "iat": now, "exp": now + ttl_s}, secret, algorithm="HS256")
