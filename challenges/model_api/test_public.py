"""A few examples from the brief. Run them with `pytest` in this folder; the hidden tests ask for more."""

import threading

import model_api
import pytest
from fastapi.testclient import TestClient

pytestmark = pytest.mark.filterwarnings("ignore")  # the test client warns about its own future

NAMES = ["hour", "amount"]
ROW = {"amount": 120.5, "hour": 3}


class Model:
    """Adds up each row: 123.5 for ROW."""

    def __init__(self):
        self.calls = 0

    def predict(self, rows):
        self.calls += 1
        rows = rows.to_numpy() if hasattr(rows, "to_numpy") else rows
        return [float(sum(row)) for row in rows]


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def client(model):
    api = model_api.ModelAPI(model=model, feature_names=NAMES, model_version="7", max_batch=3)
    with TestClient(model_api.create_app(api), raise_server_exceptions=False) as client:
        yield client


def test_r1_a_valid_request(client):
    response = client.post("/predict", json={"features": ROW})
    assert response.status_code == 200
    assert response.json()["prediction"] == 123.5
    assert response.json()["model_version"] == "7"
    assert response.json()["request_id"]


def test_r2_a_batch_is_one_call(client, model):
    response = client.post("/predict", json={"instances": [ROW, {"hour": 1, "amount": 1}]})
    assert response.json()["predictions"] == [123.5, 2.0]
    assert model.calls == 1


@pytest.mark.parametrize("features", [{"hour": 3}, {**ROW, "amount": "12.5"}, {"hour": 3, "amount": True}])
def test_r3_bad_features_name_the_culprit(client, model, features):
    response = client.post("/predict", json={"features": features})
    assert response.status_code == 422
    assert "amount" in response.text
    assert model.calls == 0


def test_r4_r5_without_a_model():
    with TestClient(model_api.create_app(model_api.ModelAPI(feature_names=NAMES))) as client:
        assert client.get("/health").status_code == 503
        assert client.get("/health").json()["model_loaded"] is False
        assert client.get("/health/live").status_code == 200
        response = client.post("/predict", json={"features": ROW})
        assert response.status_code == 503
        assert response.json()["error"]["code"]


def test_r6_nan(client):
    content = '{"features": {"amount": NaN, "hour": 3}}'
    response = client.post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422


def test_r10_health_while_a_prediction_is_inside_the_model():
    entered, gate = threading.Event(), threading.Event()

    class Slow:
        def predict(self, rows):
            entered.set()
            return [1.0 if gate.wait(5) else -1.0]

    api = model_api.ModelAPI(model=Slow(), feature_names=NAMES)
    answers = []
    with TestClient(model_api.create_app(api)) as client:
        asker = threading.Thread(target=lambda: answers.append(client.post("/predict", json={"features": ROW}).json()))
        asker.start()
        assert entered.wait(5)
        assert client.get("/health").status_code == 200
        gate.set()
        asker.join()
    assert answers[0]["prediction"] == 1.0, "the health check was answered only after the prediction"


def test_r11_another_hash(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"weights")
    loaded = []
    with pytest.raises(model_api.ModelLoadError):
        model_api.ModelAPI(tmp_path / "model.bin", loader=loaded.append, expected_sha256="0" * 64, feature_names=NAMES)
    assert not loaded


def test_r14_too_many_instances(client, model):
    assert client.post("/predict", json={"instances": [ROW] * 4}).status_code == 413
    assert 'predict_requests_total{status="413"} 1' in client.get("/metrics").text
    assert model.calls == 0
