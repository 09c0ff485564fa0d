"""The judge's end of the border: sessions, proxies, lent fakes, and exceptions as they come across."""
