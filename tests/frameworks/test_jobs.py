"""Queues of jobs, as their documentation tells to run them: producers here, workers in processes of their own.

Each job writes a line when it runs. What the queue promises is that a job which was accepted runs, and runs once as
long as its worker lives: no line may be missing, none may be there twice, although the leader is killed while some
jobs run and others wait.
"""

import sys
from datetime import timedelta

JOBS = 40


def _numbers(failover):
    return sorted(int(line) for line in failover.done() if line.isdigit())


def _half_done(failover):
    failover.wait_for("a part of the jobs has run", lambda: len(failover.done()) >= JOBS // 4)
    return len(failover.done()) < JOBS


def test_rq_runs_each_job_once(failover):
    from redis import Redis
    from rq import Queue, Retry

    workers = [
        failover.run(
            f"rq-{number}",
            [failover.program("rq"), "worker", "--with-scheduler", "--url", failover.url(number), "high", "default"],
        )
        for number in range(2)
    ]
    connection = Redis.from_url(failover.url(1))
    queue = Queue("default", connection=connection)
    accepted = [queue.enqueue("jobs.work", number) for number in range(JOBS)]
    last = queue.enqueue("jobs.total", 1, 2, 3, depends_on=accepted)
    again = Queue("high", connection=connection).enqueue("jobs.fails_once", retry=Retry(max=2))
    later = queue.enqueue_in(timedelta(seconds=1), "jobs.work", JOBS)
    assert _half_done(failover)
    failover.kill()

    def all_finished():
        return all(job.get_status(refresh=True) == "finished" for job in [*accepted, last, again, later])

    failover.wait_for("all jobs have finished", all_finished)
    assert [job.return_value(refresh=True) for job in accepted] == [number * number for number in range(JOBS)]
    assert (last.return_value(), again.return_value()) == (6, "at last")
    assert _numbers(failover) == list(range(JOBS + 1))
    assert failover.done().count("again") == 2 and failover.done().count("total") == 1
    assert queue.count == 0 and queue.failed_job_registry.count == 0
    assert all(worker.is_running() for worker in workers)


def test_celery_runs_each_task_once(failover):
    variables = {"BROKER": failover.url(0), "RESULTS": failover.url(1, 1)}
    failover.run(
        "celery",
        [failover.program("celery"), "-A", "celery_app", "worker", "--concurrency", 2, "--pool", "threads"],
        **variables,
    )
    producer = failover.run("celery-client", [sys.executable, "-m", "celery_client"], **variables)
    assert _half_done(failover)
    failover.kill()
    failover.wait_for("the client has its results", lambda: not producer.is_running())
    assert producer.child.returncode == 0, producer.tail()
    assert _numbers(failover) == [*range(JOBS), *range(100, 105), 200]
    assert failover.done().count("again") == 2 and failover.done().count("total") == 1


def test_huey_runs_each_task_once(failover, monkeypatch):
    monkeypatch.setenv("BROKER", failover.url(1))
    monkeypatch.syspath_prepend(failover.programs)
    failover.run(
        "huey",
        [failover.program("huey_consumer"), "huey_app.huey", "--workers", 2, "--delay", 0.1],
        BROKER=failover.url(0),
    )
    import huey_app

    accepted = [huey_app.work(number) for number in range(JOBS)]
    again = huey_app.fails_once()
    later = huey_app.work.schedule((JOBS,), delay=1)
    assert _half_done(failover)
    failover.kill()
    results = [task.get(blocking=True, timeout=25) for task in [*accepted, later]]
    assert results == [number * number for number in range(JOBS + 1)]
    assert failover.wait_for("the task has run again", lambda: failover.done().count("again") == 2)
    assert again.get(blocking=True, timeout=25) == "at last"
    assert _numbers(failover) == list(range(JOBS + 1))
    assert huey_app.huey.pending_count() == huey_app.huey.scheduled_count() == 0


def test_dramatiq_runs_each_message_once(failover, monkeypatch):
    variables = {"BROKER": failover.url(1), "RESULTS": failover.url(1, 1)}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(failover.programs)
    failover.run(
        "dramatiq",
        [failover.program("dramatiq"), "dramatiq_app", "--processes", 1, "--threads", 2],
        BROKER=failover.url(0),
        RESULTS=failover.url(0, 1),
    )
    import dramatiq_app

    accepted = [dramatiq_app.work.send(number) for number in range(JOBS)]
    again = dramatiq_app.fails_once.send()
    later = dramatiq_app.work.send_with_options(args=(JOBS,), delay=1000)
    assert _half_done(failover)
    failover.kill()
    results = [message.get_result(block=True, timeout=25_000) for message in [*accepted, later]]
    assert results == [number * number for number in range(JOBS + 1)]
    assert again.get_result(block=True, timeout=25_000) == "at last"
    assert _numbers(failover) == list(range(JOBS + 1)) and failover.done().count("again") == 2
