"""Snapshots of live backends: Qiskit's own backend type with the network's answers replaced."""

import copy
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import qiskit_ibm_runtime
from qiskit_ibm_runtime import IBMBackend
from qiskit_ibm_runtime.accounts import management
from qiskit_ibm_runtime.fake_provider import FakeAlgiers, FakeTorino
from qiskit_ibm_runtime.utils.backend_decoder import configuration_from_server_data

from qmend.devices.calibration import Calibration
from qmend.devices.device import DeviceConfig, load_device, read_calibration, resolve
from qmend.devices.layout import lowest_error_layout
from qmend.devices.providers import backend_calibration, runtime_calibration
from qmend.types import QmendError


class Server:
    """The calibrations of one backend, oldest first, as the service stores them."""

    def __init__(self, backend: Any) -> None:
        self.configuration = backend._load_json(backend.conf_filename)
        self.stored = [in_utc(backend._load_json(backend.props_filename))]
        self.asked = 0

    def backend_properties(
        self, backend_name: str, datetime: datetime | None = None, calibration_id: str | None = None
    ) -> dict[str, Any]:
        """What is closest to a time but older, as the service documents; else the latest."""
        self.asked += 1
        older = [p for p in self.stored if datetime is None or time(p) < datetime]
        return copy.deepcopy(older[-1])

    def recalibrate(self, when: str) -> None:
        new = copy.deepcopy(self.stored[-1])
        new["last_update_date"] = when
        new["qubits"][0][0]["value"] *= 1.1
        self.stored.append(new)

    def connect(self) -> IBMBackend:
        configuration = configuration_from_server_data(copy.deepcopy(self.configuration))
        return IBMBackend(configuration, service=self, api_client=self)

    # What QiskitRuntimeService offers.

    def backend(self, name: str) -> IBMBackend:
        found = self.connect()
        if name != found.name:
            raise qiskit_ibm_runtime.exceptions.IBMInputValueError("No backend matches.")
        return found

    def backends(self) -> list[IBMBackend]:
        return [self.connect()]


def in_utc(item: Any) -> Any:
    """The file of a shipped snapshot with the dates as the service gives them."""
    if isinstance(item, list):
        return [in_utc(part) for part in item]
    if isinstance(item, dict):
        return {
            key: datetime.fromisoformat(value).astimezone(UTC).isoformat()
            if key in ("date", "last_update_date")
            else in_utc(value)
            for key, value in item.items()
        }
    return item


def time(properties: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(properties["last_update_date"])


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    """Whatever account the machine has stays out of the tests."""
    for name in ("QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE", "QISKIT_IBM_CHANNEL"):
        monkeypatch.delenv(name, raising=False)
    file = str(tmp_path / "qiskit-ibm.json")
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", file)
    runtime_calibration.cache_clear()
    yield
    runtime_calibration.cache_clear()


@pytest.fixture
def server(monkeypatch) -> Server:
    server = Server(FakeAlgiers())
    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", lambda: server)
    return server


def live(**fields: Any) -> DeviceConfig:
    known = {"name": "live", "provider": "runtime", "backend": "ibm_algiers"}
    return DeviceConfig(**known | {"layout": (0, 1, 2)} | fields)


def test_without_an_account_one_sentence_says_how_to_get_one():
    with pytest.raises(QmendError, match="needs an IBM Quantum account") as caught:
        load_device(live())
    text = str(caught.value)
    assert "\n" not in text
    assert "QiskitRuntimeService.save_account(" in text
    assert "QISKIT_IBM_TOKEN" in text


def test_a_token_never_reaches_a_message_or_a_config(monkeypatch):
    """Nothing is sent: a bad instance is refused before."""
    secret = "a1B2" * 11
    monkeypatch.setenv("QISKIT_IBM_TOKEN", secret)
    monkeypatch.setenv("QISKIT_IBM_CHANNEL", "no_such_channel")
    with pytest.raises(QmendError) as caught:
        load_device(live())
    assert secret not in str(caught.value)
    assert secret not in json.dumps(live().model_dump(mode="json"))


def test_a_live_calibration_is_that_of_the_shipped_snapshot(server):
    shipped = Calibration.from_properties(FakeAlgiers().properties())
    ours = read_calibration(live())
    assert ours.calibration_id == shipped.calibration_id
    assert load_device(live()).calibration == shipped.restrict((0, 1, 2))


def test_a_live_backend_is_read_once(server):
    for _ in range(3):
        load_device(resolve(live(layout="lowest_error", n_qubits=4)))
    assert server.asked <= 2  # its properties and, by Qiskit itself, its target's


def test_an_unknown_live_backend_names_the_nearest(server):
    with pytest.raises(QmendError, match=r"'ibm_algirs' can't be .* Did you mean 'ibm_algiers'\?"):
        load_device(live(backend="ibm_algirs"))


def test_what_a_backend_declares_faulty_is_left_out():
    """Qiskit's target drops gates that are not operational, and the gates of such qubits."""
    server = Server(FakeAlgiers())
    whole = backend_calibration(server.connect())
    layout = lowest_error_layout(whole, 5)
    off = {"name": "operational", "value": 0, "unit": "", "date": "2024-02-28T00:00:00+00:00"}
    for gate in server.stored[0]["gates"]:
        if set(gate["qubits"]) == set(layout[1:3]):
            gate["parameters"].append(dict(off))
    server.stored[0]["qubits"][layout[4]].append(dict(off))
    part = backend_calibration(server.connect())
    lost = set(whole.gates) - set(part.gates)
    assert {g.qubits for g in lost} >= {layout[1:3], layout[2:0:-1]}
    chosen = lowest_error_layout(part, 5)
    assert not set(layout[1:3]) <= set(chosen)
    assert layout[4] not in chosen


def test_a_live_heron_gives_the_chain_of_its_shipped_snapshot():
    """Its target lacks the fractional gates that its properties list."""
    calibration = backend_calibration(Server(FakeTorino()).connect())
    shipped = Calibration.from_properties(FakeTorino().properties())
    assert lowest_error_layout(calibration, 5) == lowest_error_layout(shipped, 5)


def test_a_resolved_live_device_stays_on_its_calibration(server):
    """Resolved today and used after the backend was calibrated again, in another process."""
    first = resolve(live(layout="lowest_error", n_qubits=5))
    assert first.calibration_time == time(server.stored[0])
    before = load_device(first)
    server.recalibrate("2024-03-01T10:00:00+00:00")
    runtime_calibration.cache_clear()
    again = DeviceConfig.model_validate_json(first.model_dump_json())
    assert again == first
    assert load_device(again).calibration == before.calibration
    elsewhere = first.calibration_time.astimezone(timezone(timedelta(hours=9)))
    moved = first.model_copy(update={"calibration_time": elsewhere})
    assert load_device(moved).calibration == before.calibration
    latest = resolve(live(layout=first.layout))
    assert latest.calibration_id != first.calibration_id


def test_a_calibration_that_is_gone_is_named(server):
    first = resolve(live())
    server.recalibrate("2024-03-01T10:00:00+00:00")
    server.stored[0]["qubits"][3][0]["value"] *= 2
    runtime_calibration.cache_clear()
    with pytest.raises(QmendError, match=rf"of ibm_algiers is \w+, not {first.calibration_id} as"):
        load_device(first)


def test_a_failing_service_is_one_sentence(monkeypatch):
    def unreachable() -> None:
        raise ConnectionError("Name or service not known\nTraceback ...")

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", unreachable)
    expected = r"can't be reached \(Name or service not known\); check the network"
    with pytest.raises(QmendError, match=expected):
        load_device(live())
