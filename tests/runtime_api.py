"""IBM Quantum with its REST client replaced: jobs lie on the disk and outlive every process.

Everything above the client is the real ``qiskit_ibm_runtime``: service, backend, sessions,
sampler, encoding of circuits, decoding of results. Submitted circuits are really run, by Aer
without noise. Faults are files in the folder, so that they reach other processes, too.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import qiskit_ibm_runtime.qiskit_runtime_service as service_module
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.executor.version_2_0 import (
    ParamsModel,
    QuantumProgramResultModel,
)
from ibm_quantum_schemas.executor.version_2_0.models import (
    ItemMetadataModel,
    MetadataModel,
    QuantumProgramResultItemModel,
)
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.fake_provider import FakeAlgiers

BACKEND = "ibm_algiers"
TOKEN = "a-token-that-nobody-may-see"
INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
ENVIRONMENT = {
    "QISKIT_IBM_TOKEN": TOKEN,
    "QISKIT_IBM_INSTANCE": INSTANCE,
    "QISKIT_FUNCTIONS_EXPERIMENTAL": "1",  # the account's instance is not looked up
}
#: The first job runs then, each further one an hour later.
START = datetime(2024, 3, 1, tzinfo=UTC)


class Api:
    """What is on the server's disk, and its faults."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "jobs").mkdir(parents=True, exist_ok=True)

    def jobs(self) -> list[dict[str, Any]]:
        """All accepted jobs in order: what was paid for."""
        return [json.loads(p.read_text()) for p in sorted((self.root / "jobs").glob("*.json"))]

    def save(self, job: dict[str, Any]) -> None:
        (self.root / "jobs" / f"{job['id']}.json").write_text(json.dumps(job))

    def fault(self, **values: Any) -> None:
        """Set what goes wrong; see the methods of :class:`DiskClient`."""
        path = self.root / "faults.json"
        path.write_text(json.dumps({**self.faults(), **values}))

    def faults(self) -> dict[str, Any]:
        path = self.root / "faults.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def count(self, name: str) -> int:
        """How often this was called, this time included."""
        path = self.root / f"{name}.count"
        with path.open("a") as handle:
            handle.write(".")
        return path.stat().st_size


class DiskClient:
    """Stands for ``qiskit_ibm_runtime.api.client.RuntimeClient``."""

    def __init__(self, params: Any) -> None:
        self.api = Api(Path(os.environ["QMEND_TEST_API"]))
        self._instance = params.instance

    def _kill_at(self, place: str) -> None:
        if self.api.faults().get("kill") == place:
            os.kill(os.getpid(), signal.SIGKILL)

    # Devices

    def list_backends(self, include_mocks: bool = False) -> list[dict[str, Any]]:
        return [{"name": BACKEND}]

    def backend_configuration(self, backend_name: str, **_: Any) -> dict[str, Any]:
        fake = FakeAlgiers()
        raw = fake._load_json(fake.conf_filename)
        return {**raw, "backend_name": BACKEND, "simulator": False}

    def backend_properties(
        self, backend_name: str, datetime: Any = None, calibration_id: Any = None
    ) -> dict[str, Any]:
        """Calibrated every two hours from START on: T1 of qubit 0 is then 100, 101, ... us."""
        fake = FakeAlgiers()
        raw = fake._load_json(fake.props_filename)
        raw["backend_name"] = BACKEND
        now = START + timedelta(hours=100) if datetime is None else datetime
        steps = max(0, int((now - START) / timedelta(hours=2)))
        raw["last_update_date"] = (START + steps * timedelta(hours=2)).isoformat()
        for entry in raw["qubits"][0]:
            if entry["name"] == "T1":
                entry["value"], entry["unit"] = 100.0 + steps, "us"
        return raw

    def backend_status(self, backend_name: str) -> dict[str, Any]:
        return FakeAlgiers().status().to_dict()

    def cloud_usage(self) -> dict[str, Any]:
        return {}

    # Sessions

    def create_session(self, backend: Any, instance: Any, max_time: Any, mode: str) -> Any:
        number = self.api.count("sessions")
        path = self.api.root / f"session-{number}.json"
        path.write_text(json.dumps({"mode": mode, "open": True}))
        return {"id": f"session-{number}"}

    def session_details(self, session_id: str) -> dict[str, Any]:
        known = json.loads((self.api.root / f"{session_id}.json").read_text())
        state = "active" if known["open"] else "closed"
        return {"id": session_id, "state": state, "accepting_jobs": known["open"]}

    def close_session(self, session_id: str) -> None:
        path = self.api.root / f"{session_id}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "open": False}))

    # Jobs

    def program_run(self, params: dict, job_tags: Any, session_id: Any, **_: Any) -> dict:
        """Accepts a job. Faults: ``unreachable`` (numbers of the calls that do not arrive),
        ``unanswered`` (that arrive, without an answer), ``refused``, ``expire`` (the session,
        before); ``jobs``: number of a job -> what is different about it."""
        if self.api.jobs():
            self._kill_at("before a job is accepted, the one before in the ledger")
        faults, call = self.api.faults(), self.api.count("runs")
        if call in faults.get("expire", []):
            self.close_session(session_id)
        if session_id and not self.session_details(session_id)["accepting_jobs"]:
            raise RequestsApiError(f"Session {session_id} is no longer accepting jobs", 400)
        if call in faults.get("unreachable", []):
            raise RequestsApiError(f"connection lost, bearer {TOKEN}", -1)
        if call in faults.get("refused", []):
            raise RequestsApiError("too many jobs are pending", 400)
        number = len(self.api.jobs())
        job = {
            "id": f"job-{number:03d}",
            "tags": job_tags,
            "session": session_id,
            "params": params,
            "state": "Completed",
            "ran": (START + timedelta(hours=number)).isoformat(),
            "looks": 0,
        }
        job.update(faults.get("jobs", {}).get(str(number), {}))
        self.api.save(job)
        if number >= 1:
            self._kill_at("after a job is accepted, before the ledger")
        if call in faults.get("unanswered", []):
            raise RequestsApiError("read timed out", -1)
        return {"id": job["id"], "backend": BACKEND}

    def job_get(self, job_id: str, exclude_params: bool = True) -> dict[str, Any]:
        """A job, queued at the first look."""
        known = {job["id"]: job for job in self.api.jobs()}
        if job_id not in known:
            raise RequestsApiError("not found", 404)
        job = known[job_id]
        job["looks"] += 1
        self.api.save(job)
        if job["looks"] == 2:
            self._kill_at("while it waits")
        return self._answer(job)

    def _answer(self, job: dict[str, Any]) -> dict[str, Any]:
        state: dict[str, Any] = {"status": "Queued" if job["looks"] <= 1 else job["state"]}
        if state["status"] == "Failed":
            state.update(reason="calibration in progress", reasonCode=1234)
        return {
            "id": job["id"],
            "backend": BACKEND,
            "tags": job["tags"],
            "state": state,
            "session_id": job["session"],
            "program": {"id": "executor"},
            "created": job["ran"],
        }

    def jobs_get(self, job_tags: list[str] | None = None, **_: Any) -> dict[str, Any]:
        found = [j for j in self.api.jobs() if set(job_tags or ()) <= set(j["tags"])]
        return {"jobs": [self._answer(j) for j in found], "count": len(found)}

    def job_metadata(self, job_id: str) -> dict[str, Any]:
        job = next(j for j in self.api.jobs() if j["id"] == job_id)
        return {"timestamps": {"created": START.isoformat(), "running": job["ran"]}}

    def job_results(self, job_id: str) -> str:
        """Runs the circuits. Fault: ``shape`` of a job (circuits, shots or bits too few)."""
        job = next(j for j in self.api.jobs() if j["id"] == job_id)
        if job["state"] != "Completed":
            return f"Traceback\nno result, bearer {TOKEN}"
        program = ParamsModel.model_validate(job["params"]).quantum_program
        circuits = program.circuits.to_python()
        seed = int(job_id.rsplit("-", 1)[1])
        simulator = AerSimulator(seed_simulator=seed, max_parallel_threads=1)
        ran = simulator.run(circuits, shots=program.shots, memory=True).result()
        arrays = []
        for index, circuit in enumerate(circuits):
            texts = [t.replace(" ", "") for t in ran.get_memory(index)]
            bits = np.array([[c == "1" for c in reversed(t)] for t in texts])
            assert bits.shape == (program.shots, circuit.num_clbits)
            arrays.append(bits)
        cut: dict[str, Callable[[], list[np.ndarray]]] = {
            "circuits": lambda: arrays[:-1],
            "shots": lambda: [a[:-1] for a in arrays],
            "bits": lambda: [a[:, :-1] for a in arrays],
        }
        arrays = cut[job["shape"]]() if "shape" in job else arrays
        passthrough = program.passthrough_data
        model = QuantumProgramResultModel(
            data=[
                QuantumProgramResultItemModel(
                    results={"c": CompressedTensorModel.from_numpy(a)},
                    metadata=ItemMetadataModel(),
                )
                for a in arrays
            ],
            metadata=MetadataModel(chunk_timing=[]),
            passthrough_data=passthrough,
            semantic_role=program.semantic_role,
        )
        return model.model_dump_json()


def install(root: Path) -> Api:
    """Let this process talk to the server in ``root``."""
    os.environ.update({**ENVIRONMENT, "QMEND_TEST_API": str(root)})
    service_module.RuntimeClient = DiskClient  # type: ignore[misc, assignment]
    return Api(root)


def collect_here(root: Path, dataset: Any, device: Any, folder: Path, config: Any) -> None:
    """A collection in a process of its own, which a fault may kill while it writes."""
    from qmend.hardware.collector import collect

    api = install(root)
    replace = os.replace

    def kill_at_replace(source: Any, target: Any, **more: Any) -> None:
        place, shard = api.faults().get("kill"), Path(target).name == "circuits-00001.parquet"
        if shard and place == "before a shard is in place":
            os.kill(os.getpid(), signal.SIGKILL)
        if Path(target).name == "manifest.json" and place == "before the manifest is in place":
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target, **more)
        if shard and place == "after a shard is in place, before the ledger":
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = kill_at_replace
    collect(dataset, device, folder, config)
