"""Plays a script of callers inside the submission's process, on its event loop, and tells what became of them.

The answers are the trusted side's: the model here asks a lent one what to return, and reports when it was called.
"""

import asyncio
import builtins
import math
import threading

PATIENCE_S = 60.0  # of the loop's time; whoever has no answer by then hangs
REAL_PATIENCE_S = 6.0
BEATS = 20


def model_of(lent):
    """Return an `async def` model whose calls, times and answers are those of a lent one."""

    async def predict_batch(items):
        loop = asyncio.get_running_loop()
        number, seconds = lent.begin(items, loop.time())
        if seconds:
            await asyncio.sleep(seconds)
        return answered(lent.end(number, loop.time()))

    return predict_batch


def answered(told):
    """Return the results that the lent model named, or raise the exception that it named."""
    if "raise" in told:
        raise getattr(builtins, told["raise"])(*told["args"])
    return told["results"]


async def outcome_of(awaitable):
    """Return how it ended, as data: what, which value or exception, at which time of the loop."""
    loop = asyncio.get_running_loop()
    try:
        value = await awaitable
    except asyncio.CancelledError:
        return {"what": "cancelled", "at": loop.time()}
    except BaseException as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        arguments = [str(argument) for argument in error.args]
        return {"what": "error", "kinds": kinds, "args": arguments, "at": loop.time()}
    return {"what": "result", "value": value, "at": loop.time()}


async def sleep_until(when):
    loop = asyncio.get_running_loop()
    if when > loop.time():
        await asyncio.sleep(when - loop.time())


async def turn(times):
    for _ in range(times):
        await asyncio.sleep(0)


async def refusal(submission, options):
    """Return the exception that a batcher of these options raises when it is built, as outcome_of does."""

    async def build():
        submission.DynamicBatcher(model_of(None), **options)

    return await outcome_of(build())


async def play(submission, script, lent, options):
    """Do what the script says: (time, "predict", *items), (time, "cancel", *callers) or (time, "close", *drain).

    Callers are numbered in the order of the script. Returns their outcomes, those of close, and what is left over.
    """
    batcher = submission.DynamicBatcher(model_of(lent), **options)
    callers, closes = [], []
    for when, verb, *arguments in script:
        await sleep_until(when)
        if verb == "predict":
            callers += [asyncio.ensure_future(outcome_of(batcher.predict(item))) for item in arguments]
        elif verb == "cancel":
            for number in arguments:
                callers[number].cancel()
        else:
            closing = batcher.close(drain=arguments[0]) if arguments else batcher.close()
            closes.append(asyncio.ensure_future(outcome_of(closing)))
    if callers + closes:
        await asyncio.wait(callers + closes, timeout=PATIENCE_S)
    await turn(5)
    return {
        "callers": [one.result() if one.done() else {"what": "hung", "at": math.inf} for one in callers],
        "closes": [one.result() if one.done() else {"what": "hung", "at": math.inf} for one in closes],
        "left": left_over({asyncio.current_task(), *callers, *closes}),
    }


def left_over(known):
    """Count the tasks and live timers on the loop that are not the script's own."""
    loop = asyncio.get_running_loop()
    timers = [handle for handle in getattr(loop, "_scheduled", []) if not handle.cancelled()]
    return {"tasks": len(asyncio.all_tasks() - known), "timers": len(timers)}


async def park(submission, items, lent, options, at_once=1, later=(), close=False):
    """Call with a plain model that blocks until the loop has gone round often enough; on an ordinary loop.

    The model blocks until `at_once` calls of it are parked and the `later` items have arrived; with none, it does not
    block. Tells the lent model whether each call was let go by the loop.
    """
    parked = threading.Semaphore(0)
    let_go = threading.Event()
    if not at_once:
        let_go.set()

    def predict_batch(items):
        number, _ = lent.begin(items, 0.0)
        parked.release()
        lent.note(number, let_go.wait(REAL_PATIENCE_S / 2))
        let_go.set()  # a loop that stood still once would do so again
        return answered(lent.end(number, 0.0))

    batcher = submission.DynamicBatcher(predict_batch, **options)
    callers = [asyncio.ensure_future(outcome_of(batcher.predict(item))) for item in items]
    inside = 0
    loop = asyncio.get_running_loop()
    end = loop.time() + REAL_PATIENCE_S
    while inside < at_once and loop.time() < end:
        await asyncio.sleep(0.001)
        inside += parked.acquire(blocking=False)
    callers += [asyncio.ensure_future(outcome_of(batcher.predict(item))) for item in later]
    closing = asyncio.ensure_future(outcome_of(batcher.close())) if close else None
    for _ in range(BEATS):
        await asyncio.sleep(0.001)
    settled = [one.done() for one in callers]
    let_go.set()
    if callers:
        await asyncio.wait(callers, timeout=REAL_PATIENCE_S)
    return {
        "callers": [one.result() if one.done() else {"what": "hung", "at": math.inf} for one in callers],
        "settled_while_parked": settled,
        "closed": closing is not None and await closing,
    }
