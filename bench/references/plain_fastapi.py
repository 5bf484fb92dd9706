"""The same look-up as it is usually written: FastAPI, a response model, redis.asyncio, PyJWT; lists as JSON.

A list and the set of what was taken are read in one round trip. Quotas, metrics, pending writes, positions and doubt,
which our own has, it lacks.
"""

import json
import os
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from redis.asyncio import Redis

bearer = HTTPBearer()


class Reason(BaseModel):
    """Why a course is recommended."""

    kind: str
    course_id: str | None
    text: str
    event_ids: list[str]


class Item(BaseModel):
    """A recommended course."""

    course_id: str
    title: str
    score: float
    reasons: list[Reason]
    topped_up: bool = False


class Recommendations(BaseModel):
    """A learner's list."""

    user_id: str
    strategy: str
    items: list[Item]
    model_version: str
    state_version: str
    generated_at: datetime
    age_s: float
    lag: int | None
    degraded: bool
    experiment: str | None = None
    arm: str | None = None


async def reader(user_id: str, credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> dict[str, Any]:
    """Return the claims of a caller who may read this learner's list."""
    try:
        claims: dict[str, Any] = jwt.decode(credentials.credentials, os.environ["JWT_SECRET"], ["HS256"])
    except jwt.PyJWTError as error:
        raise HTTPException(401, str(error)) from None
    scopes = claims.get("scope", "").split()
    if "reader" not in scopes and not ("learner" in scopes and claims["sub"] == user_id):
        raise HTTPException(403, "not yours")
    return claims


app = FastAPI()
redis = Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), decode_responses=True)


@app.get("/v1/learners/{user_id}/recommendations", response_model=Recommendations, dependencies=[Depends(reader)])
async def recommendations(user_id: str, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Recommendations:
    """Return what the learner has not taken."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.get(f"plain:list:{user_id}")
    pipeline.smembers(f"plain:taken:{user_id}")
    found, taken = await pipeline.execute()
    if found is None:
        raise HTTPException(404, "no such learner")
    listed = json.loads(found)
    items = [Item(**one) for one in listed["items"] if one["course_id"] not in taken][:limit]
    generated_at = datetime.fromisoformat(listed["generated_at"]).astimezone(UTC)
    return Recommendations(
        user_id=user_id,
        strategy="hybrid",
        items=items,
        model_version=listed["model_version"],
        state_version=listed["state_version"],
        generated_at=generated_at,
        age_s=round(time.time() - generated_at.timestamp(), 3),
        lag=0,
        degraded=False,
    )
