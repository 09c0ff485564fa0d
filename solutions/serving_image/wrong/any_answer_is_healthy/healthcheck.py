"""Ends with 0 when the server answers."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=3)
try:
    connection.request("GET", "/health")
    connection.getresponse().read()
except OSError:
    sys.exit(1)
