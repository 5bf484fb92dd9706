"""Tokens: verified by a secret or by a key set over HTTP, remembered for a short while."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from api.auth import CACHE_S, Verifier, bearer_token
from api.problems import ProblemError
from api.settings import ApiSettings

SECRET = "a secret of the tests, 32 bytes or more"


def settings(**values: Any) -> ApiSettings:
    return ApiSettings(jwt_secret=SECRET, **values)


def signed(secret: str = SECRET, **claims: Any) -> str:
    fields = {"sub": "u", "scope": "learner reader", "exp": time.time() + 60, **claims}
    return jwt.encode({name: value for name, value in fields.items() if value is not None}, secret, "HS256")


async def refused(verifier: Verifier, token: str) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        await verifier.principal(token)
    return caught.value


async def test_a_token_names_its_subject_and_scopes() -> None:
    principal = await Verifier(settings()).principal(signed())
    assert principal.subject == "u"
    assert principal.scopes == {"learner", "reader"}


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        "é",
        signed(secret="another secret, also of 32 bytes or more"),
        signed(exp=time.time() - 1),
        signed(exp=None),
        signed(exp=10**310),
        signed(exp=[1]),
        signed(iat=10**310),
        signed(nbf=10**310),
        signed(sub=None),
        signed(sub=7),
        jwt.encode({"sub": "u", "exp": time.time() + 60}, "", "none"),
    ],
)
async def test_a_token_that_proves_nothing_is_refused(token: str) -> None:
    problem = await refused(Verifier(settings()), token)
    assert problem.details.status == 401
    assert problem.headers == {"WWW-Authenticate": "Bearer"}


async def test_issuer_and_audience_are_checked_if_set() -> None:
    strict = Verifier(settings(jwt_issuer="us", jwt_audience="app"))
    assert (await strict.principal(signed(iss="us", aud="app"))).subject == "u"
    for claims in ({"iss": "us"}, {"aud": "app"}, {"iss": "them", "aud": "app"}, {"iss": "us", "aud": "other"}):
        await refused(strict, signed(**claims))
    assert (await Verifier(settings()).principal(signed(iss="any", aud="any"))).subject == "u"


async def test_claims_are_remembered_for_a_while_but_never_past_their_expiry() -> None:
    now = time.time()
    verifier = Verifier(settings(), clock=lambda: now)
    short, long = signed(exp=now + 30), signed(exp=now + 1_000)
    first_long, first_short = await verifier.principal(long), await verifier.principal(short)
    assert await verifier.principal(long) is first_long
    assert await verifier.principal(short) is first_short
    now += 31
    assert await verifier.principal(long) is first_long
    assert await verifier.principal(short) is not first_short
    now += CACHE_S
    assert await verifier.principal(long) is not first_long


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic dTpw", "token"])
def test_a_header_without_a_bearer_token_is_refused(header: str | None) -> None:
    with pytest.raises(ProblemError):
        bearer_token(header)
    assert bearer_token("bearer abc") == "abc"


KEY = ec.generate_private_key(ec.SECP256R1())


class _KeySet(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(KEY.public_key()))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"keys": [{**key, "kid": "k1", "use": "sig", "alg": "ES256"}]}).encode())

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def jwks_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _KeySet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/jwks"
        server.shutdown()
        thread.join()


async def test_a_key_set_verifies_asymmetric_tokens(jwks_url: str) -> None:
    verifier = Verifier(ApiSettings(jwt_secret=None, jwks_url=jwks_url))
    claims = {"sub": "u", "scope": "reader", "exp": time.time() + 60}
    good = jwt.encode(claims, KEY, "ES256", headers={"kid": "k1"})
    assert (await verifier.principal(good)).scopes == {"reader"}
    foreign = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "k1"})
    unknown = jwt.encode(claims, KEY, "ES256", headers={"kid": "k2"})
    for token in (foreign, unknown, jwt.encode(claims, SECRET, "HS256", headers={"kid": "k1"})):
        assert (await refused(verifier, token)).details.status == 401


async def test_a_key_set_that_is_away_is_no_fault_of_the_caller() -> None:
    verifier = Verifier(ApiSettings(jwt_secret=None, jwks_url="http://127.0.0.1:9/jwks"))
    token = jwt.encode({"sub": "u", "exp": time.time() + 60}, KEY, "ES256", headers={"kid": "k1"})
    assert (await refused(verifier, token)).details.status == 503


@pytest.mark.parametrize(
    "values",
    [{}, {"jwt_secret": ""}, {"jwt_secret": "short"}, {"jwt_secret": SECRET, "jwks_url": "http://localhost/jwks"}],
)
def test_the_settings_need_exactly_one_way_to_verify(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JWT_SECRET", raising=False)
    monkeypatch.delenv("JWKS_URL", raising=False)
    with pytest.raises(ValueError, match="JWT_SECRET"):
        ApiSettings(**values)
