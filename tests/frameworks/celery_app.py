"""An application of Celery with broker and results in the store."""

import os

from celery import Celery

import jobs

app = Celery("jobs", broker=os.environ["BROKER"], backend=os.environ["RESULTS"])
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)

work = app.task(name="work")(jobs.work)


@app.task(name="total")
def total(numbers):
    return jobs.total(*numbers)


@app.task(name="again", bind=True, max_retries=2, default_retry_delay=0.2)
def again(self):
    try:
        return jobs.fails_once()
    except RuntimeError as error:
        raise self.retry(exc=error) from None
