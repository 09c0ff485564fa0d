"""Play long scripts beside the submission, under a clock that crosses no boundary, and report what was answered."""

import os
import random
import threading
import time


def prepare():
    """Let nothing sleep: time is the suite's."""

    def refuse(_seconds):
        raise RuntimeError("time.sleep was called; every method answers at once")

    time.sleep = refuse


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now


class YieldingClock(Clock):
    """A clock that lets another thread run at each of the first looks, while there are tokens to quarrel about."""

    looks = 0

    def __call__(self):
        self.looks += 1
        if self.looks <= 64:  # on a busy machine a yield may cost milliseconds
            os.sched_yield()
        return self.now


class MeetingClock(YieldingClock):
    """A clock at which `parties` threads wait for each other, as long as its patience lasts.

    Threads that look at it without a lock all have read before any of them goes on. With a lock nobody else can come,
    and each look waits in vain: that costs patience and changes nothing.
    """

    def __init__(self, now, parties, patience=0.15, at_most=0.05):
        super().__init__(now)
        self.parties, self.patience, self.at_most = parties, patience, at_most
        self.open, self.waiting, self.meeting = False, 0, 0
        self.door = threading.Condition()

    def __call__(self):
        with self.door:
            if self.open and self.patience > 0:
                self.meet()
        return super().__call__()

    def meet(self):
        """Wait until enough threads are here; if they do not come, go on alone."""
        self.waiting += 1
        if self.waiting >= self.parties:
            self.waiting, self.meeting = 0, self.meeting + 1
            self.door.notify_all()
            return
        mine = self.meeting
        if not self.door.wait_for(lambda: self.meeting != mine, self.at_most):
            self.waiting -= 1
            self.patience -= self.at_most


def play_bucket(submission, rate, burst, script):
    """Play (time, "take" or "ask", amount) on a new bucket, built at the first time; return the answers."""
    clock = Clock(script[0][0])
    bucket = submission.TokenBucket(rate, burst, clock=clock)
    answers = []
    for now, what, amount in script:
        clock.now = now
        answers.append(bucket.try_acquire(amount) if what == "take" else bucket.retry_after(amount))
    return answers


def play_buckets(submission, cases):
    """Play several (rate, burst, script), each on a bucket of its own."""
    return [play_bucket(submission, *case) for case in cases]


def play_limiter(submission, rate, burst, events, max_clients=10_000):
    """Play (time, client, cost) on a new limiter; return (allowed, remaining, retry_after_s, size) for each."""
    clock = Clock(events[0][0])
    limiter = submission.RateLimiter(rate, burst, max_clients=max_clients, clock=clock)
    answers = []
    for clock.now, client, cost in events:
        decision = limiter.check(client, cost)
        answers.append((decision.allowed, decision.remaining, decision.retry_after_s, limiter.size()))
    return answers


def crowd(submission, rate, burst, count, every_s, **options):
    """Let `count` new clients ask once each; return how many were allowed, the largest size and the last one."""
    clock = Clock(1000.0)
    limiter = submission.RateLimiter(rate, burst, clock=clock, **options)
    allowed, largest = 0, 0
    for i in range(count):
        allowed += limiter.check(f"tenant-{i}").allowed is True
        largest = max(largest, limiter.size())
        clock.now = 1000.0 + (i + 1) * every_s
    return allowed, largest, limiter.size()


def together(count, work):
    """Run work(number) in `count` threads that start at the same time; return the results and what was raised."""
    gate = threading.Barrier(count)
    results, raised = [None] * count, []

    def run(number):
        gate.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            raised.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, raised


def bucket_in_threads(submission, burst, threads, attempts, amount=1.0, parties=0, asking=False):
    """Take from one bucket in several threads under a clock that stands still; return the grants per thread."""
    clock = MeetingClock(1000.0, parties) if parties else YieldingClock(1000.0)
    bucket = submission.TokenBucket(1.0, burst, clock=clock)
    clock.open = True

    def work(number):
        granted = 0
        for _ in range(attempts):
            if asking and number % 2:
                bucket.retry_after(amount)
            else:
                granted += bucket.try_acquire(amount) is True
        return granted

    return together(threads, work)


def limiter_in_threads(submission, burst, threads, clients, attempts, parties=0, known=False):
    """Check each client `attempts` times from each thread; return the grants per thread and client."""
    clock = MeetingClock(1000.0, parties) if parties else YieldingClock(1000.0)
    limiter = submission.RateLimiter(1.0, burst, clock=clock)
    if known:
        for client in clients:
            limiter.check(client, burst)
        clock.now += burst + 1e-6
    clock.open = True

    def work(_number):
        granted = dict.fromkeys(clients, 0)
        for client in clients:
            for _ in range(attempts):
                granted[client] += limiter.check(client).allowed is True
        return granted

    return together(threads, work)


def crowd_in_threads(submission, threads, each, max_clients):
    """Send new clients from several threads into a small limiter; return the largest size per thread, and the last."""
    clock = YieldingClock(1000.0)
    limiter = submission.RateLimiter(1.0, 2.0, max_clients=max_clients, clock=clock)

    def work(number):
        largest = 0
        for i in range(each):
            limiter.check(f"tenant-{number}-{i}")
            limiter.check(f"shared-{i % 7}")
            largest = max(largest, limiter.size())
        return largest

    results, raised = together(threads, work)
    return results, raised, limiter.size()


def play_shedder(submission, max_in_flight, max_queue, script):
    """Play a script on a new shedder; return per step what came back, and the states and stats after it.

    Steps: ("time", now), ("submit", priority, deadline), ("release", n), ("next",); n counts the submits from 0.
    """
    clock = Clock(1000.0)
    shedder = submission.LoadShedder(max_in_flight, max_queue, clock=clock)
    tickets, seen = [], []
    for step, *arguments in script:
        back = None
        if step == "time":
            clock.now = arguments[0]
        elif step == "submit":
            priority, deadline = arguments
            answer = shedder.submit(priority=priority, deadline=deadline)
            rejected = isinstance(answer, submission.Rejected)
            back = answer.reason if rejected else None
            tickets.append(None if rejected else answer)
        elif step == "release" and tickets[arguments[0]] is not None:
            shedder.release(tickets[arguments[0]])
        elif step == "next":
            back = shedder.start_next() is not None
        states = [None if ticket is None else shedder.state(ticket) for ticket in tickets]
        stats = shedder.stats()
        seen.append((back, states, (stats["running"], stats["queued"])))
    return seen


def play_throttle(submission, script, seed=0, **options):
    """Play a script on a new throttle; return how many passed at each "allow", and what each "ask" was told.

    Steps: ("time", now), ("allow", times), ("record", accepted, times), ("ask",).
    """
    clock = Clock(1000.0)
    throttle = submission.AdaptiveThrottle(clock=clock, rng=random.Random(seed), **options)
    passed, told = [], []
    for step, *arguments in script:
        if step == "time":
            clock.now = arguments[0]
        elif step == "allow":
            passed.append(sum(throttle.allow() is True for _ in range(arguments[0])))
        elif step == "record":
            for _ in range(arguments[1]):
                throttle.record(arguments[0])
        else:
            told.append(throttle.rejection_probability())
    return passed, told


def pass_by_pass(submission, count, seed):
    """Return the answers of `count` calls of allow() while the backend answers nothing."""
    throttle = submission.AdaptiveThrottle(clock=Clock(1000.0), rng=random.Random(seed))
    return [throttle.allow() for _ in range(count)]


def traffic(submission, seed, capacities, demand, **options):
    """Send `demand` requests in each second to a backend that accepts so many; return how many were sent in each."""
    clock = Clock(1000.0)
    throttle = submission.AdaptiveThrottle(clock=clock, rng=random.Random(seed), **options)
    sent = []
    for second, capacity in enumerate(capacities):
        clock.now = 1000.0 + second
        passed = 0
        for _ in range(demand):
            if throttle.allow():
                passed += 1
                throttle.record(passed <= capacity)
        sent.append(passed)
    return sent
