"""The kit that the attacks are aimed at has hidden tests of its own, which only the grader runs."""

collect_ignore = ["kit"]
