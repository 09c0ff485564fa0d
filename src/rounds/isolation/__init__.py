"""Isolation: where a submission runs, and what stands between it and everything else.

Theory of operation
-------------------
Four kinds of process take part; the first three are trusted.

    judge          pytest with the hidden tests. Computes every verdict.
      │  control: a socket; orders go down ("a child with these limits"), file descriptors with them
    bubblewrap     the outer wall: a read-only system with the libraries and nothing of the kit, no network
      │
    zygote         `rounds.inside.zygote`: imported the libraries once; forks itself for each test, watches the
      │            children's time and memory, reports how each ended. It never sees a byte of a submission.
    child          `rounds.inside.agent`: own user, pid, mount, ipc, uts and network namespaces, private /tmp,
                   no capabilities, rlimits, seccomp. Runs one submission for one test. Hostile once it is loaded.

A child holds three descriptors of the judge's: the channel (a stream socket, data-only frames, see
`rounds.inside.frames`), its output (a pipe), and listening Unix sockets if the test serves an app. How it ended is
told by the zygote, on a line that the child never holds. The judge believes nothing that comes over the channel: it
decodes data, and computes.

The ladder (`rungs.py`) says what remains where a machine offers less. Each rung is tried by running it.

Beside the ladder stands the container, by request and where there is no Linux: `relay.py` takes the zygote's place on
this side, starts the container, and carries the bytes of a child's descriptors over its standard streams to
`rounds.inside.relay_end`, which runs the ordinary zygote in there with the walls of rung C. The judge notices nothing.
"""

from rounds.isolation.ladder import Climb, choose, climb

__all__ = ["Climb", "choose", "climb"]
