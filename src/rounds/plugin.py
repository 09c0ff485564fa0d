"""The pytest plugin (early form: in-process only)."""
import importlib.util, os, sys, tempfile, threading, itertools, asyncio, inspect
from pathlib import Path
import pytest

COUNT = itertools.count()

def pytest_addoption(parser):
    g = parser.getgroup("rounds")
    g.addoption("--submission")
    g.addoption("--isolation", default=None)
    g.addoption("--seed", type=int, default=0)

def pytest_configure(config):
    config.addinivalue_line("markers", "requirement(id): the requirement a hidden test judges")
    config.addinivalue_line("markers", "limits(seconds=, memory_mb=): limits of one test")

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        args = {n: pyfuncitem.funcargs[n] for n in pyfuncitem._fixtureinfo.argnames}
        asyncio.run(pyfuncitem.obj(**args))
        return True

class Scratch:
    def __init__(self, root): self.root = Path(root); self.path = str(root)
    def write(self, name, content):
        p = self.root / name; p.parent.mkdir(parents=True, exist_ok=True)
        p.write_bytes(content.encode() if isinstance(content, str) else content)
    def read(self, name): return (self.root / name).read_bytes()
    def files(self): return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())

class Sandbox:
    def __init__(self, request, environ=None, hash_seed=0, files=None):
        self.request = request; self._sub = self._props = None; self.environ = environ or {}
        self.scratch = Scratch(tempfile.mkdtemp()); self.stops = []
        for n, b in (files or {}).items(): self.scratch.write(n, b)
    def _load(self, path, name):
        spec = importlib.util.spec_from_file_location(name, path)
        m = importlib.util.module_from_spec(spec); sys.modules[name] = m; spec.loader.exec_module(m); return m
    @property
    def props(self):
        if self._props is None:
            here = Path(self.request.node.path).parent
            self._props = self._load(here / "props.py", "props")
        return self._props
    @property
    def submission(self):
        if self._sub is None:
            here = Path(self.request.node.path).parent
            if (here / "props.py").exists() and hasattr(self.props, "prepare"): self.props.prepare()
            p = Path(self.request.config.getoption("--submission"))
            f = p if p.is_file() else p / (here.name + ".py")
            saved = dict(os.environ); os.environ.update(self.environ)
            try: self._sub = self._load(f, here.name)
            finally:
                for k in self.environ:
                    os.environ.pop(k, None)
                os.environ.update(saved)
        return self._sub
    def serve(self, app):
        import httpx, uvicorn, socket
        d = tempfile.mkdtemp(); s = socket.socket(socket.AF_UNIX); s.bind(d + "/s"); s.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", loop="asyncio", lifespan="on"))
        t = threading.Thread(target=server.run, kwargs={"sockets": [s]}, daemon=True); t.start()
        c = httpx.Client(transport=httpx.HTTPTransport(uds=d + "/s"), base_url="http://submission", timeout=30)
        def stop(): c.close(); server.should_exit = True; t.join(5)
        self.stops.append(stop)
        return c
    def close(self):
        for s in self.stops: s()

@pytest.fixture
def sandbox(request):
    made = []
    def make(**kw): made.append(Sandbox(request, **kw)); return made[-1]
    yield make
    for m in made: m.close()
@pytest.fixture
def _own(sandbox): return sandbox()
@pytest.fixture
def submission(_own): return _own.submission
@pytest.fixture
def props(_own): return _own.props
@pytest.fixture
def scratch(_own): return _own.scratch
@pytest.fixture
def serve(_own): return _own.serve
@pytest.fixture
def seed(request): return request.config.getoption("--seed")
