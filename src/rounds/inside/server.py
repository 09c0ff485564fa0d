"""Serves a submission's ASGI app by uvicorn on a listening Unix socket that the judge made and passed in."""

import socket
import threading
from typing import Any

START_SECONDS = 60.0


def serve_app(app: Any, descriptor: int) -> None:
    """Start the server in a thread of its own and return when it answers; lifespan events are run."""
    import uvicorn

    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            started.set()

    config = uvicorn.Config(
        app, log_config=None, access_log=False, loop="asyncio", http="h11", ws="none", lifespan="auto",
        timeout_keep_alive=3600,
    )  # fmt: skip
    server = Server(config)
    failure: list[BaseException] = []

    def run() -> None:
        try:
            server.run(sockets=[socket.socket(fileno=descriptor)])
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    threading.Thread(target=run, daemon=True, name="server").start()
    if not started.wait(START_SECONDS) or failure or server.should_exit or not server.started:
        raise RuntimeError(f"the app did not start: {failure[0] if failure else 'its lifespan start-up failed'}")
