"""Jobs on IBM Quantum, or on a shipped snapshot through the runtime's local mode.

Both are run by ``qiskit_ibm_runtime.executor_sampler.Sampler``. What collection needs of either
is the small interface :class:`JobService`; errors of the runtime become :class:`TransientError`
where another try may help, and :class:`QmendError` where it does not. No token appears in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from qiskit.circuit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors
from qiskit_ibm_runtime import Batch, Session, fake_provider
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMError, IBMNotAuthorizedError, RuntimeJobNotFound
from qiskit_ibm_runtime.executor_sampler import Sampler

from qmend.circuits.instructions import InstructionTable
from qmend.devices.calibration import Calibration
from qmend.devices.providers import backend_calibration, fake_calibration, runtime_backend
from qmend.types import IntArray, QmendError

Mode = Literal["job", "session", "batch"]
JobState = Literal["pending", "done", "failed", "cancelled"]
T = TypeVar("T")

#: The classical register that results are read from.
REGISTER = "c"
#: Of processors that do not report theirs: IBM's usual delay between two shots, in seconds.
DEFAULT_REP_DELAY = 250e-6
#: HTTP answers that another try may change; -1 is no answer at all.
_TRANSIENT_STATUS = (-1, 408, 425, 429)
_REFUSED = (
    "IBM Quantum refused the request ({}); correct it, then run the same command again: what was "
    "collected is kept."
)


class TransientError(Exception):
    """A network or service error that may be gone at the next try."""


class SessionEndedError(TransientError):
    """The session takes no more jobs; the next submission opens another."""


class ServiceJob(Protocol):
    """A job that a service holds. Every method may raise :class:`TransientError`."""

    @property
    def job_id(self) -> str:
        """The provider's id."""

    def state(self) -> JobState:
        """Where the job is now."""

    def reason(self) -> str:
        """Why it failed or was cancelled, in one line."""

    def result(self) -> Any:
        """What the sampler returned for a job that is done."""

    def executed_at(self) -> datetime:
        """When it ran (UTC)."""

    def calibration(self) -> Calibration:
        """The device's calibration when it ran, or the present one where that is all there is."""


class JobService(Protocol):
    """Submits jobs and finds them again.

    Attributes:
        backend: Qiskit's backend; circuits must fit its target.
        outlives: whether jobs live on without this process.
    """

    backend: Any
    outlives: bool

    def submit(self, circuits: Sequence[QuantumCircuit], shots: int, tag: str) -> ServiceJob:
        """Submit one job.

        Raises:
            TransientError: the job may have been accepted all the same; look for its tag.
            QmendError: the service refused the job.
        """

    def job(self, job_id: str) -> ServiceJob | None:
        """The job with this id; None if the service does not know it (any more)."""

    def jobs(self, tag: str) -> list[ServiceJob]:
        """All jobs that were submitted with this tag."""

    def session_ended(self, job_id: str) -> bool:
        """Whether a job was submitted here, into a session that takes no more."""

    def close(self) -> None:
        """End the session, if there is one; jobs in it are finished."""


class _RuntimeJob:
    """A ``RuntimeJobV2`` or ``LocalRuntimeJob``."""

    def __init__(self, job: Any, calibrate: Callable[[datetime], Calibration]) -> None:
        self._job = job
        self._calibrate = calibrate

    @property
    def job_id(self) -> str:
        return str(self._job.job_id())

    def state(self) -> JobState:
        status = _asked(self._job.status)
        name = str(getattr(status, "name", status))
        final: dict[str, JobState] = {"DONE": "done", "ERROR": "failed", "CANCELLED": "cancelled"}
        return final.get(name, "pending")

    def reason(self) -> str:
        message = _asked(self._job.error_message)
        if not message and self.state() == "failed":
            try:
                self._job.result()
            except Exception as error:
                message = str(error)
        return one_line(message or "no reason given")

    def result(self) -> Any:
        return _asked(self._job.result, "its result can't be read: {}")

    def executed_at(self) -> datetime:
        times = _asked(self._job.metrics).get("timestamps") or {}
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

    def _submitted(self, circuits: Sequence[QuantumCircuit], shots: int, tag: str) -> Any:
        def call() -> Any:
            if self._mode != "job" and self._session is None:
                self._session = (Session if self._mode == "session" else Batch)(self._run_on)
            sampler = self._sampler(mode=self._session or self._run_on)
            sampler.options.environment.job_tags = [tag]
            return sampler.run(list(circuits), shots=shots)

        session_before = self._session
        try:
            job = _asked(call)
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
            _asked(session.close)


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
        found = runtime_backend(backend)
        super().__init__(found, found, mode, sampler)

    def submit(self, circuits: Sequence[QuantumCircuit], shots: int, tag: str) -> ServiceJob:
        return self._wrapped(self._submitted(circuits, shots, tag))

    def job(self, job_id: str) -> ServiceJob | None:
        try:
            return self._wrapped(_asked(lambda: self.backend.service.job(job_id)))
        except _NotFoundError:
            return None

    def jobs(self, tag: str) -> list[ServiceJob]:
        def call() -> Any:
            return self.backend.service.jobs(
                limit=None, job_tags=[tag], instance=self.backend._instance
            )

        return [self._wrapped(job) for job in _asked(call)]

    def _wrapped(self, job: Any) -> ServiceJob:
        def calibrate(time: datetime) -> Calibration:
            try:
                return _asked(lambda: backend_calibration(self.backend, time))
            except QmendError:
                return _asked(lambda: backend_calibration(self.backend))

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
        job = _RuntimeJob(self._submitted(circuits, shots, tag), lambda _: self._calibration)
        self._jobs.setdefault(tag, []).append(job)
        return job

    def job(self, job_id: str) -> ServiceJob | None:
        return next((j for js in self._jobs.values() for j in js if j.job_id == job_id), None)

    def jobs(self, tag: str) -> list[ServiceJob]:
        return list(self._jobs.get(tag, ()))


def layout_noise_model(target: Target, layout: Sequence[int]) -> NoiseModel:
    """The part of ``NoiseModel.from_backend`` that concerns some physical qubits."""
    part = Target(num_qubits=target.num_qubits, qubit_properties=target.qubit_properties)
    for name in target.operation_names:
        found = target[name]
        kept = {q: p for q, p in found.items() if q is not None and set(layout).issuperset(q)}
        if kept:
            part.add_instruction(target.operation_from_name(name), kept, name=name)
    model = NoiseModel(basis_gates=[n for n in part.operation_names if n != "measure"])
    for name, qubits, error in basic_device_gate_errors(target=part):
        model.add_quantum_error(error, name, qubits, warnings=False)
    for qubits, error in basic_device_readout_errors(target=part):
        if set(layout).issuperset(qubits):
            model.add_readout_error(error, qubits, warnings=False)
    return model


def isa_circuits(
    table: InstructionTable, measured: IntArray, layout: Sequence[int], target: Target
) -> list[QuantumCircuit]:
    """Compiled circuits on a device's physical qubits.

    Classical bit ``k`` is source qubit ``k``, read from physical qubit
    ``layout[measured[i, k]]``.

    Raises:
        QmendError: if the device lacks an instruction.
    """
    used: set[tuple[str, tuple[int, ...]]] = set()
    circuits = []
    for index in range(len(table)):
        qubits = QuantumRegister(target.num_qubits, "q")
        circuit = QuantumCircuit(qubits, ClassicalRegister(measured.shape[1], REGISTER))
        for gate, first, second, angle in table.circuit(index):
            at = tuple(layout[k] for k in (first, second) if k >= 0)
            used.add((gate, at))
            getattr(circuit, gate)(*([angle] if gate == "rz" else []), *at)
        for bit, position in enumerate(measured[index].tolist()):
            used.add(("measure", (layout[position],)))
            circuit.measure(layout[position], bit)
        circuits.append(circuit)
    for gate, qubits in sorted(used):
        if not target.instruction_supported(gate, qubits):
            raise QmendError(
                f"The device has no {gate} on qubits {list(qubits)} (any more); choose another "
                "device.layout, and another dataset.name for it."
            )
    return circuits


def outcome_counts(result: Any, circuits: int, n_bits: int, shots: int) -> IntArray:
    """(circuits, 2^n_bits) counts of a sampler's result, bit ``k`` of an index: classical bit k.

    Raises:
        QmendError: if the result is not of the shape that was asked for.
    """
    try:
        found = len(result)
    except TypeError:
        raise QmendError(f"the result is no list of circuits but {type(result).__name__}") from None
    if found != circuits:
        raise QmendError(f"the result holds {found} circuits, not {circuits}")
    counts = np.zeros((circuits, 2**n_bits), dtype=np.int64)
    for index in range(circuits):
        bits = getattr(result[index].data, REGISTER, None)
        if bits is None:
            raise QmendError(f"circuit {index} of the result has no register {REGISTER!r}")
        if bits.num_bits != n_bits or bits.shape != ():
            raise QmendError(
                f"circuit {index} of the result has {bits.num_bits} bits, not {n_bits}"
            )
        if bits.num_shots != shots:
            raise QmendError(
                f"circuit {index} of the result has {bits.num_shots} shots, not {shots}"
            )
        for outcome, count in bits.get_int_counts().items():
            counts[index, outcome] = count
    return counts


def quantum_seconds(
    table: InstructionTable,
    measured: IntArray,
    calibration: Calibration,
    layout: Sequence[int],
    shots: int,
    rep_delay: float,
) -> float:
    """Estimated time of circuits on the processor, without a job's own overhead.

        sum over circuits of shots * (as-soon-as-possible schedule + longest readout + rep_delay)

    with the calibration's gate and readout lengths; lengths that it lacks count as 0.
    """
    readout = {p: (calibration.qubit(p).readout_length_ns or 0.0) for p in layout}
    length = {(g.gate, g.qubits): g.length_ns or 0.0 for g in calibration.gates}
    total = 0.0
    for index in range(len(table)):
        free = dict.fromkeys(layout, 0.0)
        for gate, first, second, _ in table.circuit(index):
            qubits = tuple(layout[k] for k in (first, second) if k >= 0)
            end = max(free[q] for q in qubits) + length.get((gate, qubits), 0.0)
            free.update(dict.fromkeys(qubits, end))
        ends = [free[layout[k]] + readout[layout[k]] for k in measured[index].tolist()]
        total += shots * (max(ends) * 1e-9 + rep_delay)
    return total


def rep_delay(backend: Any) -> float:
    """The default delay between two shots in seconds."""
    found = getattr(backend, "default_rep_delay", None)
    return float(found) if found else DEFAULT_REP_DELAY


def _has_ended(session: Any) -> bool:
    return _asked(session.status) in ("Closed", "In progress, not accepting new jobs")


class _NotFoundError(Exception):
    pass


def _asked(call: Callable[[], T], sentence: str = _REFUSED) -> T:
    """The answer of the runtime, its errors told apart; ``sentence`` tells those for good."""
    try:
        return call()
    except RuntimeJobNotFound:
        raise _NotFoundError from None
    except QmendError:
        raise
    except Exception as error:
        text = one_line(str(error) or type(error).__name__)
        if "session" in text.lower() and "closed" in text.lower():
            raise SessionEndedError(text) from None
        if _is_transient(error):
            raise TransientError(text) from None
        raise QmendError(sentence.format(text)) from None


def _is_transient(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status in _TRANSIENT_STATUS or status >= 500
    if isinstance(error, IBMError):
        return not isinstance(error, IBMNotAuthorizedError | ValueError)
    return isinstance(error, OSError)  # among them those of requests


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error; the runtime hides it in the context of its own."""
    while error is not None:
        if isinstance(error, RequestsApiError):
            return int(error.status_code)
        error = error.__cause__ or error.__context__
    return None


def one_line(text: str) -> str:
    """The last line of a foreign message (a traceback's error), without any token."""
    lines = [line.strip() for line in str(text).strip().splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    if line[:1] in "'\"" and line[:1] == line[-1:]:
        line = line[1:-1]  # Qiskit's errors quote themselves
    line = line.rstrip(". ")
    for secret in _secrets():
        line = line.replace(secret, "***")
    return line[:300]


def _secrets() -> list[str]:
    """What must not be told: the token in the environment, and those of saved accounts."""
    from qiskit_ibm_runtime import QiskitRuntimeService

    found = [os.environ.get("QISKIT_IBM_TOKEN")]
    with suppress(Exception):  # a damaged file of accounts is told elsewhere
        found += [a.get("token") for a in QiskitRuntimeService.saved_accounts().values()]
    return [secret for secret in found if secret]
