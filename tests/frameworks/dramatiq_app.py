"""An application of Dramatiq: actors with results and retries, and a rate limit."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

import jobs

broker = RedisBroker(url=os.environ["BROKER"])
broker.add_middleware(Results(backend=RedisBackend(url=os.environ["RESULTS"])))
dramatiq.set_broker(broker)

work = dramatiq.actor(store_results=True)(jobs.work)
fails_once = dramatiq.actor(store_results=True, max_retries=2, min_backoff=100)(jobs.fails_once)
