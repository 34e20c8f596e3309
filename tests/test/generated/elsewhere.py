"""
Where async code lets steps be taken: in threads, in the bridge, in tasks.
"""

from __future__ import annotations

import asyncio

from asgiref.sync import sync_to_async

from django_evergreen.bridge import run_sync


async def in_group(coroutines):
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)


async def gather(coroutines):
    await asyncio.gather(*coroutines)


async def insensitively(fn, *args):
    await sync_to_async(fn, thread_sensitive=False)(*args)


async def sensitively(fn, *args):
    await sync_to_async(fn)(*args)


SWITCHES = {
    "bridge": run_sync,
    "to_thread": asyncio.to_thread,
    "insensitive": insensitively,
    "sensitive": sensitively,
}
STARTS = {"gather": gather, "group": in_group}


async def ask(line):
    """
    Have the rows counted by the task of the class, if there is one.
    """
    if not line.program.has_service:
        return await line.query().acount()
    line.owner.questions.put_nowait(line)
    answer = await line.owner.answers.get()
    if isinstance(answer, Exception):
        raise answer
    return answer


async def answer(cls):
    """
    What the task of the class does.
    """
    while True:
        line = await cls.questions.get()
        try:
            found = await line.query().acount()
        except Exception as error:
            found = error
        cls.answers.put_nowait(found)
