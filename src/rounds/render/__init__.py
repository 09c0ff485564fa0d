"""The forms in which a report is shown: a terminal, JSON, JUnit XML, Gradescope."""
