"""R10 to R12: what runs, what waits, what is shed, and what is too late."""

import random

import pytest

from rounds.testing import requirement


class Time:
    """A clock whose time the test sets."""

    def __init__(self, now=1000.0):
        self.now = now


def shedder_at(submission, max_in_flight, max_queue, time=None):
    time = time or Time()
    return submission.LoadShedder(max_in_flight, max_queue, clock=lambda: time.now)


def reason(answer):
    """Return why a submit was rejected, None for a ticket."""
    found = getattr(answer, "reason", None)
    return found if isinstance(found, str) and found else None


def submit_all(shedder, priorities):
    return [shedder.submit(priority=priority) for priority in priorities]


def states(shedder, tickets):
    return [shedder.state(ticket) for ticket in tickets]


def check_stats(shedder, running, queued, what):
    stats = shedder.stats()
    seen = stats.get("running"), stats.get("queued")
    assert seen == (running, queued), f"{what}: stats() said (running, queued) = {seen}, not {(running, queued)}"


def start_order(shedder, running, waiting):
    """Release the running ticket and start the next until nothing waits; return the order in which they started."""
    order = []
    for _ in range(len(waiting) + 1):
        shedder.release(running)
        shedder.start_next()
        now = [i for i, ticket in enumerate(waiting) if shedder.state(ticket) == "running"]
        if not now:
            return order
        order.append(now[0] if len(now) == 1 else tuple(now))
        running = waiting[now[0]]
    return order


# --- R10


@requirement("R10")
def test_what_exceeds_slots_and_queue_is_rejected(submission):
    for slots, room in ((1, 0), (3, 2)):
        shedder = shedder_at(submission, slots, room)
        answers = [shedder.submit() for _ in range(slots + room + 3)]
        taken, excess = answers[: slots + room], answers[slots + room :]
        seen = states(shedder, taken)
        assert seen == ["running"] * slots + ["queued"] * room, f"{slots} slots, {room} places: tickets were {seen}"
        reasons = [reason(answer) for answer in excess]
        assert reasons == ["overload"] * 3, f"{slots} slots, {room} places, all taken: three more were told {reasons}"
        check_stats(shedder, slots, room, f"{slots} slots and {room} places, all taken")


@requirement("R10")
def test_the_queue_is_empty_by_default(submission):
    shedder = submission.LoadShedder(2, clock=lambda: 0.0)
    answers = [shedder.submit() for _ in range(4)]
    seen = [reason(answer) for answer in answers]
    assert seen == [None, None, "overload", "overload"], f"2 slots and no queue: four submits were told {seen}"


@requirement("R10")
def test_a_release_frees_one_slot(submission):
    shedder = shedder_at(submission, 2, 0)
    first, second = shedder.submit(), shedder.submit()
    shedder.release(first)
    shedder.start_next()
    seen = states(shedder, [first, second])
    assert seen == ["done", "running"], f"two ran and the first was released: {seen}"
    check_stats(shedder, 1, 0, "two ran and one was released")
    told = [reason(shedder.submit()) for _ in range(2)]
    assert told == [None, "overload"], f"one slot was freed, and two submits were told {told}"


@requirement("R10")
def test_a_second_release_frees_nothing(submission):
    shedder = shedder_at(submission, 2, 0)
    first, _second = shedder.submit(), shedder.submit()
    for _ in range(4):
        shedder.release(first)
        shedder.start_next()
    check_stats(shedder, 1, 0, "of two running tickets one was released four times")
    told = [reason(shedder.submit()) for _ in range(3)]
    assert told == [None, "overload", "overload"], f"one ticket released four times, and three submits were told {told}"


@requirement("R10")
def test_a_late_second_release_frees_nobody_elses_slot(submission):
    shedder = shedder_at(submission, 1, 1)
    first, second = shedder.submit(), shedder.submit()
    shedder.release(first)
    shedder.start_next()
    shedder.release(first)
    shedder.start_next()
    seen = states(shedder, [first, second])
    assert seen == ["done", "running"], f"the second ran when the first was released again: {seen}"
    check_stats(shedder, 1, 0, "the second ran when the first was released again")
    third = shedder.submit()
    assert reason(third) is None, "with one slot taken and one place free, submit rejected"
    assert shedder.state(third) == "queued", f"the only slot was taken, and a newcomer is {shedder.state(third)}"


@requirement("R10")
def test_start_next_starts_one_and_only_into_a_free_slot(submission):
    shedder = shedder_at(submission, 2, 3)
    tickets = submit_all(shedder, [0] * 5)
    assert shedder.start_next() is None, "both slots were taken, and start_next returned a ticket"
    seen = states(shedder, tickets)
    assert seen == ["running"] * 2 + ["queued"] * 3, f"start_next without a free slot left the tickets {seen}"
    shedder.release(tickets[1])
    started = shedder.start_next()
    assert started is not None, "a slot was free and three waited, and start_next returned None"
    assert shedder.state(started) == "running", f"the ticket that start_next returned is {shedder.state(started)}"
    assert shedder.start_next() is None, "one slot was freed, and a second start_next returned a ticket"
    seen = states(shedder, tickets)
    expected = ["running", "done", "running", "queued", "queued"]
    assert seen == expected, f"of two running and three queued, one was released: {seen}, not {expected}"


@requirement("R10")
def test_the_ticket_that_start_next_returns_can_be_released(submission):
    shedder = shedder_at(submission, 1, 2)
    first, second, third = submit_all(shedder, [0] * 3)
    shedder.release(first)
    started = shedder.start_next()
    shedder.release(started)
    shedder.start_next()
    seen = states(shedder, [first, second, third])
    assert seen == ["done", "done", "running"], f"what start_next returned was released, and then the next: {seen}"


@requirement("R10")
def test_release_alone_starts_nothing(submission):
    shedder = shedder_at(submission, 1, 1)
    first, second = submit_all(shedder, [0] * 2)
    shedder.release(first)
    started = shedder.start_next()
    assert started is not None, "after a release with one queued, start_next returned None: who started the queued one?"
    assert shedder.state(second) == "running", f"after start_next the queued ticket is {shedder.state(second)}"


@requirement("R10")
def test_start_next_returns_none_when_nothing_waits(submission):
    shedder = shedder_at(submission, 2, 2)
    assert shedder.start_next() is None, "nothing was ever submitted, and start_next returned a ticket"
    ticket = shedder.submit()
    assert shedder.start_next() is None, "nothing waits, and start_next returned a ticket"
    check_stats(shedder, 1, 0, "one of two slots taken")
    shedder.release(ticket)
    assert shedder.start_next() is None, "all is done, and start_next returned a ticket"
    check_stats(shedder, 0, 0, "all done")


class Model:
    """What the text says a shedder does, with submits numbered from 0."""

    def __init__(self, slots, room):
        self.slots, self.room, self.now = slots, room, 1000.0
        self.status, self.facts = [], []

    def numbers(self, status):
        return [i for i, one in enumerate(self.status) if one == status]

    def tick(self):
        for i in self.numbers("queued"):
            if self.facts[i][1] is not None and self.now > self.facts[i][1]:
                self.status[i] = "expired"

    def submit(self, priority, deadline):
        self.tick()
        self.facts.append((priority, deadline))
        waiting = self.numbers("queued")
        if deadline is not None and self.now > deadline:
            self.status.append(None)
            return "expired"
        if len(self.numbers("running")) < self.slots:
            self.status.append("running")
            return None
        if len(waiting) >= self.room:
            victim = max(waiting, key=lambda i: (-self.facts[i][0], i), default=None)
            if victim is None or self.facts[victim][0] >= priority:
                self.status.append(None)
                return "overload"
            self.status[victim] = "shed"
        self.status.append("queued")
        return None

    def next(self):
        self.tick()
        waiting = self.numbers("queued")
        if not waiting or len(self.numbers("running")) >= self.slots:
            return False
        self.status[min(waiting, key=lambda i: (-self.facts[i][0], i))] = "running"
        return True

    def play(self, step, *arguments):
        back = None
        if step == "time":
            self.now = arguments[0]
        elif step == "release":
            self.status[arguments[0]] = "done"
        else:
            back = getattr(self, step)(*arguments)
        self.tick()
        return back, list(self.status), (len(self.numbers("running")), len(self.numbers("queued")))


def walk(rng, priorities, deadlines, twice):
    """Draw a script, and what a shedder answers to it."""
    slots, room = rng.randint(1, 4), rng.randint(0, 5)
    model, script, expected = Model(slots, room), [], []

    def add(*step):
        script.append(step)
        expected.append(model.play(*step))

    for _ in range(40):
        done = model.numbers("running") + (model.numbers("done") if twice else [])
        if rng.random() < 0.35 and done:
            add("release", rng.choice(done))
            add("next")
        elif deadlines and rng.random() < 0.3:
            add("time", model.now + rng.choice([1.0, 2.0, 5.0]))
        else:
            deadline = model.now + rng.choice([-1.5, 0.5, 2.5, 6.5]) if deadlines and rng.random() < 0.6 else None
            add("submit", rng.choice(priorities), deadline)
    return slots, room, script, expected


def check_walks(submission, props, rng, priorities=(0,), deadlines=False, twice=False):
    for _ in range(40):
        slots, room, script, expected = walk(rng, priorities, deadlines, twice)
        seen = props.play_shedder(submission, slots, room, script)
        for i, (got, wanted) in enumerate(zip(seen, expected, strict=True)):
            assert (got[0], list(got[1]), tuple(got[2])) == wanted, (
                f"{slots} slots, {room} places; the last steps were {script[max(0, i - 5) : i + 1]}; answer, states, "
                f"(running, queued) should be {wanted}, and were {got}"
            )


@requirement("R10")
def test_random_walks_keep_every_bound(submission, props, seed):
    check_walks(submission, props, random.Random(100 + seed), twice=True)


# --- R11


@requirement("R11")
def test_a_queued_ticket_expires_by_itself(submission):
    time = Time(1000.0)
    shedder = shedder_at(submission, 1, 2, time)
    shedder.submit()
    late, patient = shedder.submit(deadline=1010.0), shedder.submit(deadline=1020.0)
    time.now = 1009.5
    seen = states(shedder, [late, patient])
    assert seen == ["queued", "queued"], f"half a second before the first deadline the two are {seen}"
    time.now = 1010.5
    seen = states(shedder, [late, patient])
    assert seen == ["expired", "queued"], f"half a second after the first deadline they are {seen}"
    check_stats(shedder, 1, 1, "one of two queued tickets expired")


@requirement("R11")
def test_stats_alone_notice_a_deadline(submission):
    time = Time(1000.0)
    shedder = shedder_at(submission, 1, 3, time)
    shedder.submit()
    for deadline in (1005.0, None, 1005.0):
        shedder.submit(deadline=deadline)
    time.now = 1006.0
    check_stats(shedder, 1, 1, "two of three queued tickets are past their deadline")


@requirement("R11")
def test_start_next_passes_over_what_is_too_late(submission):
    time = Time(1000.0)
    shedder = shedder_at(submission, 1, 5, time)
    running = shedder.submit()
    late = [shedder.submit(deadline=1005.0), shedder.submit(deadline=1004.0)]
    patient = shedder.submit(deadline=1100.0)
    time.now = 1006.0
    shedder.release(running)
    started = shedder.start_next()
    assert started is not None, "a slot was free and one of three queued tickets was in time: start_next returned None"
    seen = states(shedder, [*late, patient])
    assert seen == ["expired", "expired", "running"], f"two late tickets and one in time, after start_next: {seen}"


@requirement("R11")
def test_start_next_returns_none_when_all_are_late(submission):
    time = Time(1000.0)
    shedder = shedder_at(submission, 1, 2, time)
    running = shedder.submit()
    late = [shedder.submit(priority=priority, deadline=1001.0) for priority in (0, 9)]
    time.now = 1002.0
    shedder.release(running)
    assert shedder.start_next() is None, "both queued tickets were past their deadline, and start_next returned one"
    assert states(shedder, late) == ["expired"] * 2, f"tickets past their deadline are {states(shedder, late)}"
    check_stats(shedder, 0, 0, "one released, two expired")
    ticket = shedder.submit()
    assert shedder.state(ticket) == "running", "after all had expired, a newcomer did not get the free slot"


@requirement("R11")
@pytest.mark.parametrize(("slots", "taken"), [(2, 1), (1, 1), (1, 2)])
def test_late_on_arrival_is_expired_before_anything_else(submission, slots, taken):
    time = Time(1000.0)
    shedder = shedder_at(submission, slots, 1, time)
    kept = [shedder.submit() for _ in range(taken)]
    before = states(shedder, kept)
    told = [reason(shedder.submit(priority=9, deadline=deadline)) for deadline in (999.5, 10.0, 0.0)]
    assert told == ["expired"] * 3, f"with {taken} taken of {slots} slots and 1 place, late newcomers were told {told}"
    assert states(shedder, kept) == before, f"late newcomers changed {before} to {states(shedder, kept)}"
    check_stats(shedder, min(taken, slots), max(0, taken - slots), "after late newcomers")


@requirement("R11")
def test_a_deadline_of_zero_is_a_deadline(submission):
    told = reason(shedder_at(submission, 1, 1, Time(5.0)).submit(deadline=0.0))
    assert told == "expired", f"at 5 s a submit with deadline=0.0 was told {told}"
    early = shedder_at(submission, 1, 1, Time(5.0)).submit(deadline=7.5)
    assert reason(early) is None, f"at 5 s a submit with deadline=7.5 was told {reason(early)}"


@requirement("R11")
def test_an_expired_ticket_holds_no_room(submission):
    time = Time(1000.0)
    shedder = shedder_at(submission, 1, 2, time)
    shedder.submit()
    late, patient = shedder.submit(priority=3, deadline=1001.0), shedder.submit(priority=0)
    time.now = 1002.0
    newcomer = shedder.submit(priority=3)
    assert reason(newcomer) is None, "one of two places had expired, and a newcomer was rejected"
    seen = states(shedder, [late, patient, newcomer])
    assert seen == ["expired", "queued", "queued"], f"one of two places had expired when a newcomer came: {seen}"
    told = reason(shedder.submit())
    assert told == "overload", f"both places were taken again, and an equal newcomer was told {told}"


@requirement("R11")
def test_running_work_is_not_stopped(submission):
    time = Time(1000.0)
    shedder = shedder_at(submission, 1, 1, time)
    first, second = shedder.submit(deadline=1001.0), shedder.submit(deadline=1010.0)
    time.now = 1005.0
    assert shedder.state(first) == "running", f"a running ticket past its deadline is {shedder.state(first)}"
    check_stats(shedder, 1, 1, "one running past its deadline, one queued")
    shedder.release(first)
    shedder.start_next()
    time.now = 1020.0
    seen = states(shedder, [first, second])
    assert seen == ["done", "running"], f"both started in time, and past their deadlines they are {seen}"


@requirement("R11")
def test_random_walks_with_deadlines(submission, props, seed):
    check_walks(submission, props, random.Random(200 + seed), deadlines=True)


# --- R12


@requirement("R12")
def test_an_important_newcomer_sheds_the_youngest_of_the_least_important(submission):
    shedder = shedder_at(submission, 1, 4)
    tickets = submit_all(shedder, [0, 0, 3, 0, 1])
    urgent = shedder.submit(priority=5)
    assert reason(urgent) is None, f"priority 5 found a queue of 0, 3, 0, 1 full, and was told {reason(urgent)}"
    seen = states(shedder, [*tickets, urgent])
    expected = ["running", "queued", "queued", "shed", "queued", "queued"]
    assert seen == expected, f"running 0, queue 0, 3, 0, 1, then a 5: {seen}, not {expected}"
    check_stats(shedder, 1, 4, "after one was shed for another")


@requirement("R12")
def test_one_after_the_other_is_shed_from_the_bottom(submission):
    shedder = shedder_at(submission, 1, 3)
    tickets = submit_all(shedder, [9, 1, 2, 1])
    seen = []
    for _ in range(4):
        shed = [i for i, state in enumerate(states(shedder, tickets)) if state == "shed"]
        seen.append((shed, reason(shedder.submit(priority=2))))
    expected = [([], None), ([3], None), ([1, 3], "overload"), ([1, 3], "overload")]
    assert seen == expected, f"queue 1, 2, 1, then four of priority 2: (shed so far, told) was {seen}, not {expected}"


@requirement("R12")
def test_an_equal_or_a_lesser_is_never_let_in(submission):
    for priority in (0, -1, 4):
        lowest = max(priority, 0)
        shedder = shedder_at(submission, 1, 2)
        tickets = submit_all(shedder, [lowest, lowest, lowest + 1])
        told = reason(shedder.submit(priority=priority))
        assert told == "overload", f"queue {lowest}, {lowest + 1} full, and priority {priority} was told {told}"
        seen = states(shedder, tickets)
        assert seen == ["running", "queued", "queued"], f"a rejected newcomer left {seen}"


@requirement("R12")
def test_running_work_is_never_displaced(submission):
    shedder = shedder_at(submission, 2, 1)
    tickets = submit_all(shedder, [-5, 0, 1])
    urgent = shedder.submit(priority=9)
    seen = states(shedder, [*tickets, urgent])
    assert seen == ["running", "running", "shed", "queued"], f"running -5 and 0, queue 1, then a 9: {seen}"


@requirement("R12")
def test_without_a_queue_nothing_is_displaced(submission):
    shedder = shedder_at(submission, 1, 0)
    running = shedder.submit(priority=0)
    told = reason(shedder.submit(priority=9))
    assert (told, shedder.state(running)) == ("overload", "running"), (
        f"one slot, no queue, priority 0 running: a 9 was told {told}, and the 0 is {shedder.state(running)}"
    )


@requirement("R12")
def test_starts_go_by_priority_and_then_by_age(submission):
    for priorities in ([0, 5, 0, 5, 3], [-1, 0, -1, -2, 0], [7, 7, 7]):
        shedder = shedder_at(submission, 1, 10)
        running = shedder.submit()
        order = start_order(shedder, running, submit_all(shedder, priorities))
        expected = sorted(range(len(priorities)), key=lambda i: (-priorities[i], i))
        assert order == expected, (
            f"queued with priorities {priorities}, they started in the order {order}, not {expected}"
        )


@requirement("R12")
def test_an_important_one_that_waits_is_not_shed_for_an_equal(submission):
    shedder = shedder_at(submission, 1, 2)
    _, low, high = submit_all(shedder, [0, 0, 5])
    late_high = shedder.submit(priority=5)
    told = reason(shedder.submit(priority=5))
    seen = states(shedder, [low, high, late_high])
    assert (seen, told) == (["shed", "queued", "queued"], "overload"), (
        f"queue 0 and 5, then two of priority 5: the queue is {seen}, and the second was told {told}"
    )


@requirement("R12")
def test_the_priority_is_zero_when_nothing_is_said(submission):
    shedder = shedder_at(submission, 1, 1)
    shedder.submit()
    waiting = shedder.submit()
    told = [reason(shedder.submit(priority=0)), reason(shedder.submit())]
    assert told == ["overload"] * 2, f"a ticket without a priority waits; a 0 and another without were told {told}"
    lower = shedder_at(submission, 1, 1)
    _, low = submit_all(lower, [0, -1])
    lower.submit()
    seen = [shedder.state(waiting), lower.state(low)]
    assert seen == ["queued", "shed"], f"waiting without a priority, and a -1 that met one without: {seen}"


@requirement("R12")
def test_there_is_no_shedding_while_there_is_room(submission):
    shedder = shedder_at(submission, 1, 3)
    tickets = submit_all(shedder, [0, 0, 9, 5])
    seen = states(shedder, tickets)
    assert seen == ["running", "queued", "queued", "queued"], f"one slot, three places, priorities 0, 0, 9, 5: {seen}"


@requirement("R12")
def test_random_walks_with_priorities(submission, props, seed):
    check_walks(submission, props, random.Random(300 + seed), priorities=(-2, 0, 0, 1, 5))
