"""Support code inside: nothing to steal here."""
