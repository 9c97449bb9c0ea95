"""An application of Huey: tasks, one of them with retries."""

import os

from huey import RedisHuey

import jobs

huey = RedisHuey("jobs", url=os.environ["BROKER"])

work = huey.task()(jobs.work)
fails_once = huey.task(retries=2, retry_delay=0)(jobs.fails_once)
