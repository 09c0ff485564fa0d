"""Code that is mounted into the sandbox. It imports nothing of the rest of the kit, which is not there.

The trusted side uses `frames`, `codec`, `tables` and `channel` from here too, so that both ends speak one language.
"""
