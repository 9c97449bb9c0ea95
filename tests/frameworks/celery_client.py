"""A client of the Celery application: sends tasks one by one, as a group and as a chord, and wants all results."""

from celery import chord, group

from celery_app import again, total, work

JOBS = 40

single = [work.delay(number) for number in range(JOBS // 2)]
many = group(work.s(number) for number in range(JOBS // 2, JOBS)).apply_async()
joined = chord((work.s(number) for number in range(100, 105)), total.s()).apply_async()
once_more = again.delay()
later = work.apply_async((200,), countdown=1)

squares = [result.get(timeout=25) for result in single] + many.get(timeout=25)
assert squares == [number * number for number in range(JOBS)], squares
assert joined.get(timeout=25) == sum(number * number for number in range(100, 105))
assert once_more.get(timeout=25) == "at last"
assert later.get(timeout=25) == 200 * 200
