"""The memory of a tree of processes, read from outside: every process counts, shared pages count once."""

import mmap
import os

from forked import end, staying

from rounds.inside import memory
from rounds.inside.proc import tree

MB = 1 << 20


def filled(megabytes, shared=False):
    flags = mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE
    held = mmap.mmap(-1, megabytes * MB, flags=flags | mmap.MAP_ANONYMOUS)
    for position in range(0, megabytes * MB, mmap.PAGESIZE):
        held[position] = 1
    return held


def test_a_process_that_is_gone_has_no_memory(proc):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert memory.tree_mb(pid, proc, 0) == 0


def test_memory_of_children_is_added(forked, proc):
    def holding():
        return f"{staying(lambda: filled(40))} {staying(lambda: filled(40))}".encode()

    alone, _ = forked(lambda: None)
    root, _ = forked(holding)
    pids = tree(root, proc)
    try:
        assert memory.tree_mb(root, proc, 0) - memory.tree_mb(alone, proc, 0) >= 75
        assert memory.tree_mb(root, proc, 10**6) >= 80
    finally:
        end(pids)


def test_shared_memory_is_counted_once_where_it_matters(forked, proc):
    def sharing():
        shared = filled(60, shared=True)

        def touch():
            return [shared[position] for position in range(0, len(shared), mmap.PAGESIZE)] and shared

        return " ".join(str(staying(touch)) for _ in range(4)).encode()

    root, _ = forked(sharing)
    pids = tree(root, proc)
    try:
        assert len(pids) == 5
        fair = memory.tree_mb(root, proc, 0)
        assert fair >= 55
        assert memory.tree_mb(root, proc, 10**6) > fair + 4 * 55  # there the 60 MB count once for each process
    finally:
        end(pids)


def test_the_cheap_figure_is_taken_as_long_as_it_is_small_enough(forked, proc):
    root, _ = forked(lambda: None)
    cheap = memory.tree_mb(root, proc, 10**6)
    assert 0 < memory.tree_mb(root, proc, 0) <= cheap


def test_private_writable_memory_grows_with_what_is_held():
    before = memory.data_mb()
    held = filled(50)
    assert 45 <= memory.data_mb() - before <= 60
    held.close()
