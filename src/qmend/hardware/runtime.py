"""Jobs on IBM Quantum, or on a shipped snapshot through the runtime's local mode.

Both are run by ``qiskit_ibm_runtime.executor_sampler.Sampler`` behind the small interface
:class:`~qmend.hardware.jobs.JobService`. Errors of the runtime become
:class:`~qmend.hardware.jobs.TransientError` where another try may help, and :class:`QmendError`
where it does not. No token appears in them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors
from qiskit_ibm_runtime import Batch, Session, fake_provider
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmend.devices.calibration import Calibration
from qmend.devices.providers import backend_calibration, fake_calibration, runtime_backend
from qmend.hardware.jobs import JobState, ServiceJob, SessionEndedError, TransientError
from qmend.hardware.runtime_errors import NotFoundError, ask_runtime, one_line
from qmend.types import QmendError

Mode = Literal["job", "session", "batch"]


class _RuntimeJob:
    """A ``RuntimeJobV2`` or ``LocalRuntimeJob``."""

    def __init__(self, job: Any, calibrate: Callable[[datetime], Calibration]) -> None:
        self._job = job
        self._calibrate = calibrate

    @property
    def job_id(self) -> str:
        return str(self._job.job_id())

    def state(self) -> JobState:
        status = ask_runtime(self._job.status)
        name = str(getattr(status, "name", status))
        final: dict[str, JobState] = {"DONE": "done", "ERROR": "failed", "CANCELLED": "cancelled"}
        return final.get(name, "pending")

    def reason(self) -> str:
        message = ask_runtime(self._job.error_message)
        if not message and self.state() == "failed":
            try:
                self._job.result()
            except Exception as error:
                message = str(error)
        return one_line(message or "no reason given")

    def result(self) -> Any:
        return ask_runtime(self._job.result, "its result can't be read: {}")

    def executed_at(self) -> datetime:
        times = ask_runtime(self._job.metrics).get("timestamps") or {}
        text = times.get("running") or times.get("finished") or times.get("created")
        if not text:
            raise QmendError(
                f"Job {self.job_id} does not say when it ran; fetch it again later, with the same "
                "command."
            )
        time = datetime.fromisoformat(str(text))
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)

    def calibration(self) -> Calibration:
        return self._calibrate(self.executed_at())


class _SamplerService:
    """Submission through the runtime's sampler, in job, session or batch mode."""

    def __init__(self, backend: Any, run_on: Any, mode: Mode, sampler: Callable[..., Any]) -> None:
        self.backend = backend
        self._run_on = run_on
        self._mode = mode
        self._sampler = sampler
        self._session: Any = None
        self._sessions: dict[str, Any] = {}  # of each job submitted here

    def _run_sampler(self, circuits: Sequence[QuantumCircuit], shots: int, tag: str) -> Any:
        def call() -> Any:
            if self._mode != "job" and self._session is None:
                self._session = (Session if self._mode == "session" else Batch)(self._run_on)
            sampler = self._sampler(mode=self._session or self._run_on)
            sampler.options.environment.job_tags = [tag]
            return sampler.run(list(circuits), shots=shots)

        session_before = self._session
        try:
            job = ask_runtime(call)
        except SessionEndedError:
            self._session = None
            raise
        except (TransientError, QmendError) as error:
            if session_before is not None and _has_ended(session_before):
                self._session = None
                raise SessionEndedError(str(error)) from None
            raise
        self._sessions[job.job_id()] = self._session
        return job

    def session_ended(self, job_id: str) -> bool:
        session = self._sessions.get(job_id)
        return session is not None and _has_ended(session)

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            ask_runtime(session.close)


class RuntimeService(_SamplerService):
    """IBM Quantum through the account that Qiskit finds: saved, or in the environment.

    Args:
        backend: name such as ``ibm_fez``.
        mode: ``session`` is billed while it is open; killed without :meth:`close`, it ends by
            the service's own time limits.
        sampler: class of the sampler.

    Raises:
        QmendError: without an account or such a backend.
    """

    outlives = True

    def __init__(
        self, backend: str, mode: Mode = "job", sampler: Callable[..., Any] = Sampler
    ) -> None:
        live = runtime_backend(backend)
        super().__init__(live, live, mode, sampler)

    def submit(self, circuits: Sequence[QuantumCircuit], shots: int, tag: str) -> ServiceJob:
        return self._wrap(self._run_sampler(circuits, shots, tag))

    def job(self, job_id: str) -> ServiceJob | None:
        try:
            return self._wrap(ask_runtime(lambda: self.backend.service.job(job_id)))
        except NotFoundError:
            return None

    def jobs(self, tag: str) -> list[ServiceJob]:
        def call() -> Any:
            return self.backend.service.jobs(
                limit=None, job_tags=[tag], instance=self.backend._instance
            )

        return [self._wrap(job) for job in ask_runtime(call)]

    def _wrap(self, job: Any) -> ServiceJob:
        def calibrate(time: datetime) -> Calibration:
            try:
                return ask_runtime(lambda: backend_calibration(self.backend, time))
            except QmendError:
                return ask_runtime(lambda: backend_calibration(self.backend))

        return _RuntimeJob(job, calibrate)


class LocalService(_SamplerService):
    """A shipped snapshot with its noise, in the runtime's local mode.

    Jobs are threads of this process: there is no service that could know them afterwards, so a
    killed process loses the jobs that it had submitted and not yet fetched.

    Args:
        backend: class name in ``qiskit_ibm_runtime.fake_provider``.
        layout: physical qubits that circuits use; noise elsewhere is left out, which changes
            nothing but the time.
        sampler: class of the sampler.

    Raises:
        QmendError: if there is no such snapshot.
    """

    outlives = False

    def __init__(
        self,
        backend: str,
        layout: Sequence[int],
        mode: Mode = "job",
        sampler: Callable[..., Any] = Sampler,
    ) -> None:
        self._calibration = fake_calibration(backend)
        fake = getattr(fake_provider, backend)()
        simulator = AerSimulator(
            noise_model=layout_noise_model(fake.target, layout), max_parallel_threads=1
        )
        super().__init__(fake, simulator, mode, sampler)
        self._jobs: dict[str, list[ServiceJob]] = {}

    def submit(self, circuits: Sequence[QuantumCircuit], shots: int, tag: str) -> ServiceJob:
        job = _RuntimeJob(self._run_sampler(circuits, shots, tag), lambda _: self._calibration)
        self._jobs.setdefault(tag, []).append(job)
        return job

    def job(self, job_id: str) -> ServiceJob | None:
        return next((j for js in self._jobs.values() for j in js if j.job_id == job_id), None)

    def jobs(self, tag: str) -> list[ServiceJob]:
        return list(self._jobs.get(tag, ()))


def layout_noise_model(target: Target, layout: Sequence[int]) -> NoiseModel:
    """Build the part of ``NoiseModel.from_backend`` that concerns some physical qubits."""
    part = Target(num_qubits=target.num_qubits, qubit_properties=target.qubit_properties)
    for name in target.operation_names:
        properties = target[name]
        kept = {q: p for q, p in properties.items() if q is not None and set(layout).issuperset(q)}
        if kept:
            part.add_instruction(target.operation_from_name(name), kept, name=name)
    model = NoiseModel(basis_gates=[n for n in part.operation_names if n != "measure"])
    for name, qubits, error in basic_device_gate_errors(target=part):
        model.add_quantum_error(error, name, qubits, warnings=False)
    for qubits, error in basic_device_readout_errors(target=part):
        if set(layout).issuperset(qubits):
            model.add_readout_error(error, qubits, warnings=False)
    return model


def _has_ended(session: Any) -> bool:
    return ask_runtime(session.status) in ("Closed", "In progress, not accepting new jobs")
