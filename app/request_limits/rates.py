"""Rates: how many requests one caller may send, counted in memory or in Redis by the library limits."""

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from app.settings import Settings

REDIS_CONNECTIONS = 16
REDIS_SECONDS = 0.5
REDIS_REST_SECONDS = 30.0
"""Requests are counted in memory for so long after Redis did not answer."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """One request was counted. `allowed`: it is within the limit."""

    allowed: bool
    policy: str
    most: int
    window: int
    """Seconds."""
    left: int
    seconds: int
    """Until requests are given back."""

    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.most};w={self.window}',
            "RateLimit": f'"{self.policy}";r={self.left};t={self.seconds}',
        }


class Rates:
    """Counts requests in sliding windows. Where the broker is Redis, all API processes count together there; while it
    does not answer, each counts for itself."""

    def __init__(self, settings: Settings) -> None:
        named = {"reads": settings.rate_of_reads, "writes": settings.rate_of_writes}
        self._limits: Mapping[str, RateLimitItem] = {name: parse(text) for name, text in named.items() if text}
        self._redis_url = settings.broker_url if settings.broker_url.startswith(("redis://", "rediss://")) else ""
        self._in_memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._in_redis: SlidingWindowCounterRateLimiter | None = None
        self._rest_until = 0.0

    async def take(self, caller: str, policy: str) -> Taken | None:
        """Count a request of the caller under the policy `reads` or `writes`. None: the policy has no limit."""
        if (limit := self._limits.get(policy)) is None:
            return None
        if self._redis_url and time.monotonic() >= self._rest_until:
            try:
                return await _take(self._redis(), limit, caller, policy)
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("Redis does not answer; requests are counted in memory: %s", error)
                self._rest_until = time.monotonic() + REDIS_REST_SECONDS
        return await _take(self._in_memory, limit, caller, policy)

    def _redis(self) -> SlidingWindowCounterRateLimiter:
        if self._in_redis is None:
            pool = BlockingConnectionPool.from_url(
                self._redis_url,
                max_connections=REDIS_CONNECTIONS,
                timeout=REDIS_SECONDS,
                socket_timeout=REDIS_SECONDS,
                socket_connect_timeout=REDIS_SECONDS,
            )
            # The library passes the pool to redis-py, whatever its annotation says.
            storage: Storage = RedisStorage(
                f"async+{self._redis_url}",
                implementation="redispy",
                key_prefix="edgeface",
                connection_pool=pool,  # type: ignore[arg-type]
            )
            self._in_redis = SlidingWindowCounterRateLimiter(storage)
        return self._in_redis


async def _take(limiter: SlidingWindowCounterRateLimiter, limit: RateLimitItem, caller: str, policy: str) -> Taken:
    allowed = await limiter.hit(limit, policy, caller)
    if allowed and policy == "reads":  # their answers have no headers, and this is asked at every request
        return Taken(True, policy, limit.amount, limit.get_expiry(), limit.amount, 0)
    reset_at, left = await limiter.get_window_stats(limit, policy, caller)
    seconds = max(1, math.ceil(reset_at - time.time()))
    return Taken(allowed, policy, limit.amount, limit.get_expiry(), left, seconds)
