"""Requests as they may come to the recommendations, usual, strange and hostile."""

import random
import time
from typing import Final
from urllib.parse import quote

import jwt

from tests.api_server import token

USERS: Final = [*(f"u{i}" for i in range(8)), "a.b_c~d:e@f-g", "ann smith", "ü", "a/b", "a%b", "x" * 255, "ghost"]
OF_LIST: Final = "/v1/learners/{}/recommendations"
QUERIES: Final = (
    "", "?", "?limit=5", "?limit=10", "?limit=100", "?limit=1", "?strategy=hybrid", "?limit=3&strategy=hybrid",
    "?strategy=hybrid&limit=12", "?limit=0", "?limit=101", "?limit=05", "?limit=+5", "?limit=%35", "?limit=5%20",
    "?limit=5&", "?&limit=5", "?limit=5&limit=6", "?limit=6&limit=x", "?LIMIT=5", "?limit", "?limit=", "?limit=5;a=1",
    "?limit=5#x", "?strategy=Hybrid", "?strategy=", "?strategy=hybrid&strategy=popular", "?strategy=popular",
    "?strategy=collaborative&limit=4", "?strategy=content", "?strategy=trending", "?strategy=magic", "?foo=1",
    "?limit=5&foo=1", "?diversity=0.5", "?diversity=nan", "?explore=false", "?explore=maybe", "?language=en",
    "?category=", "?level=%00", "?prerequisites=met", "?wait_ms=0&after=learner-events:0:5", "?after=x", "?after=",
    "?after=learner-events:0:5", "?limit=5&after=activity:1:9&wait_ms=9", "?after=learner-events:2:500&wait_ms=20",
    "?after=learner-events:0:5,activity:0:1", "?after=learner-events:0:5&wait_ms=x", "?after=learner-events:0:-1",
    "?after=learner-events:0:5&after=x", "?wait_ms=9&after=learner-events:1:500", "?after=learner-events:1:5&limit=2",
    "?wait_ms=-1", "?limit=%", "?limit=%ff", "??", "?=", "?limit=\xc3\xbc", "?limit=1e1", "?limit=10.0", "?limit=٣",
)  # fmt: skip
USUAL: Final = QUERIES[:9]
STRANGE_PATHS: Final = (
    OF_LIST.format("u1") + "/", OF_LIST.format("u1").upper(), "/" + OF_LIST.format("u1"), OF_LIST.format(""),
    OF_LIST.format("%00"), OF_LIST.format("%75%31"), OF_LIST.format("a%2Fb"), OF_LIST.format("a%252Fb"),
    OF_LIST.format("."), OF_LIST.format(".."), OF_LIST.format("y" * 256), OF_LIST.format("%ff"), OF_LIST.format("u1;v"),
    OF_LIST.format("u+1"), "/v1/learners/u1/recommendation", "/v1/learners/u1", "/livez", "/v1/learners/u1/nothing",
    "http://elsewhere" + OF_LIST.format("u1"), "*",
)  # fmt: skip
LONG_S: Final = 86_400
"""Made when the tests are collected, used whenever their turn comes."""
READER: Final = token("service", "reader", LONG_S)
TOKENS: Final = {user_id: token(user_id, "learner", LONG_S) for user_id in USERS} | {
    "": token("x", "", LONG_S),
    "both": token("u1", "learner reader", LONG_S),
}
FORGED: Final = jwt.encode({"sub": "s", "scope": "reader", "exp": time.time() + LONG_S}, "z" * 40, "HS256")
STRANGE_AUTHORIZATIONS: Final = (
    "", f"Authorization: bearer {READER}\r\n", f"AUTHORIZATION: Bearer  {READER}\r\n", "Authorization: Basic eDp5\r\n",
    f"Authorization: Bearer {READER} \r\n", f"Authorization: Bearer {READER} x\r\n", "Authorization: Bearer\r\n",
    "Authorization: Bearer a.b.c\r\n", f"Authorization: Bearer {token('s', 'reader', ttl_s=-5)}\r\n",
    f"Authorization: Bearer {FORGED}\r\n",
    f"Authorization: Bearer {READER}\r\nAuthorization: Bearer {TOKENS['u1']}\r\n",
    f"Authorization: Bearer {TOKENS['']}\r\nAuthorization: Bearer {READER}\r\n", f"Authorization:\tBearer {READER}\r\n",
    f"Authorization: Bearer \xe9{READER}\r\n", f"X-Authorization: Bearer {READER}\r\n",
)  # fmt: skip
HEADERS: Final = (
    "", "Accept: text/html\r\n", "Accept-Encoding: gzip, br\r\n", "If-None-Match: *\r\n", "Range: bytes=0-5\r\n",
    "Content-Length: 0\r\n", "Content-Length: 99999999\r\n", "Content-Length: nine\r\n", "Cookie: \xff\xfe\r\n",
    "X-Long: " + "x" * 9_000 + "\r\n",
    "Expect: 100-continue\r\n", "Upgrade: h2c\r\n", "X-Forwarded-For: 1.2.3.4\r\n", "Host: a\r\nHost: b\r\n",
    "RateLimit: x\r\n", "X-HTTP-Method-Override: DELETE\r\n", ": empty\r\n", "No colon\r\n", "Traceparent: 00-x\r\n",
)  # fmt: skip
METHODS: Final = ("HEAD", "POST", "PUT", "OPTIONS", "DELETE", "PATCH", "get", "TRACE", "BREW")


def a_request(draw: random.Random) -> bytes:
    """Return a request as it may come: half of them usual, each of the others strange in one way or several."""

    def strange() -> bool:
        return draw.random() < 0.2

    user_id = draw.choice(USERS if strange() else USERS[:9])
    method = draw.choice(METHODS) if draw.random() < 0.08 else "GET"
    path = draw.choice(STRANGE_PATHS) if draw.random() < 0.1 else OF_LIST.format(quote(user_id, safe=":@"))
    query = draw.choice(QUERIES) if strange() else draw.choice(USUAL)
    if draw.random() < 0.05:
        query = "?" + "".join(draw.choice("limt=&5%+;#strategy[]\x7f\xfc") for _ in range(draw.randrange(20)))
    bearer = draw.choice((READER, TOKENS[user_id], TOKENS[user_id], TOKENS["both"], draw.choice(list(TOKENS.values()))))
    authorization = draw.choice(STRANGE_AUTHORIZATIONS) if strange() else f"Authorization: Bearer {bearer}\r\n"
    header = draw.choice(HEADERS) if strange() else ""
    body, version = "", draw.choice(("1.1",) * 9 + ("1.0",))
    if draw.random() < 0.03:
        header, body = "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"
    text = f"{method} {path}{query} HTTP/{version}\r\nHost: x\r\n{header}{authorization}Connection: close\r\n\r\n{body}"
    return text.encode("utf-8" if draw.random() < 0.5 else "latin-1", errors="ignore")


def usual(user_id: str = "u1", bearer: str = READER, query: str = "") -> bytes:
    """Return a request that the fast lane understands."""
    path = OF_LIST.format(user_id)
    return f"GET {path}{query} HTTP/1.1\r\nAuthorization: Bearer {bearer}\r\nConnection: close\r\n\r\n".encode()
