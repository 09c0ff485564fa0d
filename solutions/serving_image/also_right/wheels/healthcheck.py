"""Asks the server on this machine whether it can predict."""

import http.client
import os

connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["PORT"]), timeout=3)
connection.request("GET", "/health")
if connection.getresponse().status != 200:
    raise SystemExit(1)
