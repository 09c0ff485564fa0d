"""What /proc tells of other processes: who stands below whom, and who waits for a processor."""

import os
import signal
import time

from forked import end, staying

from rounds.inside.proc import queued_seconds, tree


def test_a_tree_holds_a_process_and_all_below_it(forked, proc):
    def two_levels():
        child = staying()
        grandchild_of = staying(lambda: staying())
        return f"{child} {grandchild_of}".encode()

    root, said = forked(two_levels)
    children = {int(word) for word in said.split()}
    found = tree(root, proc)
    try:
        assert found[0] == root
        assert children < set(found)
        assert len(found) == len(set(found)) == 4
        assert os.getpid() not in found
    finally:
        end(found)


def busy_on(processor, seconds):
    os.sched_setaffinity(0, {processor})
    while time.process_time() < seconds:
        pass


def test_two_that_share_a_processor_wait_for_each_other(forked, proc):
    (processor, *_) = os.sched_getaffinity(0)
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            busy_on(processor, time.process_time() + 0.5)
            signal.pause()
        pids.append(pid)
    try:
        until = time.monotonic() + 50
        while sum(queued_seconds(pid, proc) for pid in pids) < 0.3:
            assert time.monotonic() < until, [queued_seconds(pid, proc) for pid in pids]
            time.sleep(0.02)
    finally:
        end(pids)
        for pid in pids:
            os.waitpid(pid, 0)


def test_one_that_sleeps_waits_for_no_processor(proc):
    pid = staying()
    time.sleep(0.1)
    before = queued_seconds(pid, proc)
    time.sleep(0.2)
    assert queued_seconds(pid, proc) == before
    end([pid])
    os.waitpid(pid, 0)


def test_one_that_is_gone_waits_for_nothing(proc):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert queued_seconds(pid, proc) == 0
