"""Collect datasets on IBM Quantum: draw, compile, submit, wait, fetch, write.

The unit of everything is a job, and ``ledger.jsonl`` in the dataset's folder holds the history of
each (see :mod:`qmend.datasets.ledger`). A collection may be killed at any moment and
resumed:

- A job's id is in the ledger before its result is waited for. Before each submission the service
  is asked for the job's tag, which names the recipe, the job and its circuits. So a job whose line
  a kill prevented is adopted and not paid for twice. This trusts the service to list a job as soon
  as it has accepted it. The local mode has no such service: a killed process loses its unfetched
  jobs, which cost nothing.
- A job's rows, with the calibration that they ran under, are one Parquet file, written atomically;
  the manifest comes last.
- Circuits that occurred before are drawn again before they are submitted.

Collected data can't be made again: keep them as a frozen stage of DVC, which ``dvc repro`` neither
runs nor changes. ``qmend data collect`` prints the commands; then commit ``dvc.yaml`` and
``dvc.lock``, and ``dvc push``.
"""
