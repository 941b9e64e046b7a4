"""The sub-commands of ``qmend``, and what their help says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A sub-command: where its function lies, and what its help says."""

    words: str
    function: str
    summary: str
    example: str
    hydra: bool = True
    notes: tuple[str, ...] = ()


COMMANDS: tuple[Command, ...] = (
    Command(
        "demo",
        "qmend.cli.demo:main",
        "dataset, four trainings, five baselines, a table and a report, in a few minutes",
        "qmend demo device=hanoi dataset.name=demo report=reports/hanoi.html",
    ),
    Command(
        "data generate",
        "qmend.cli.data:generate_main",
        "make a dataset, or finish one that was interrupted",
        "qmend data generate dataset=tiny device=hanoi data.workers=2",
    ),
    Command(
        "data collect",
        "qmend.cli.collect:main",
        "run a dataset's circuits on hardware, or go on with it; keep the data with `dvc add`",
        "qmend data collect device=algiers dataset=tiny collect.execution=local",
    ),
    Command(
        "data verify",
        "qmend.cli.data:verify_main",
        "prove a dataset: hashes, labels, splits, noise against Aer, shots",
        "qmend data verify dataset=demo",
    ),
    Command(
        "data import",
        "qmend.cli.import_:main",
        "other people's measured circuits as a dataset, labels proven, bit order checked",
        "qmend data import measured.jsonl --name lab_2026",
        hydra=False,
        notes=(
            "FILE is JSON lines or Parquet, one record a circuit; docs/datasets/importing.md",
            "describes its fields.",
            "Options:",
            "  --name NAME        of the dataset; required",
            "  --root DIR         datasets lie in DIR/NAME, default data",
            "  --bit-order ORDER  qiskit (default: bit 0 is the rightmost character), reversed, or",
            "                     a permutation such as 2,0,1: the circuit's bit behind each",
            "                     character, from the right",
            "  --family NAME      of records that name none, default imported",
            "  --seed N           of the split, default 0",
            "  --replace          overwrite another dataset of that name",
        ),
    ),
    Command(
        "data show",
        "qmend.cli.show:main",
        "a dataset as tables and an HTML page; takes a folder, too: qmend data show data/mine",
        "qmend data show dataset=demo device=algiers",
    ),
    Command(
        "train",
        "qmend.cli.train:main",
        "train one network and score it; -m trains every combination",
        "qmend train -m model=blind_mlp,physics_perceiver loss=l1,relative_l1 seed=0,1",
        notes=(
            "Many at once (-m): one parent run, one run a combination, a table at the end.",
            "  hydra/launcher=joblib   several at a time; hydra.launcher.n_jobs=2 sets how many",
            "  resume=true             skip what a finished run has, by hash of config and data",
            "Exit status 3 if some failed and the others went on.",
        ),
    ),
    Command(
        "tune",
        "qmend.cli.tune:main",
        "search for an architecture's best config, or go on with a search",
        "qmend tune experiment=pauli_perceiver tune.trials=50",
    ),
    Command(
        "evaluate",
        "qmend.cli.evaluate:main",
        "score a trained model beside the baselines on a dataset's test split",
        "qmend evaluate checkpoint=RUN_ID device=hanoi",
    ),
    Command(
        "study architectures",
        "qmend.cli.architectures:main",
        "every architecture, loss and baseline with several seeds, and how far they carry",
        "qmend study architectures dataset=pauli_reference train_circuits=6000",
    ),
    Command(
        "study known_noise",
        "qmend.cli.known_noise:main",
        "how much better a network could be that knows the noise exactly and simulates nothing",
        "qmend study known_noise dataset=pauli_surrogate train_circuits=12000",
    ),
    Command(
        "study noise_fidelity",
        "qmend.cli.study:noise_fidelity_main",
        "how faithful noise models are to a device, and what fitting them does",
        "qmend study noise_fidelity seed=1 output=reports/fit_seed_1",
    ),
    Command(
        "study published_noise",
        "qmend.cli.study:published_noise_main",
        "which noise would give the published hardware statistics",
        "qmend study published_noise dataset.circuits=3000",
    ),
    Command(
        "models promote",
        "qmend.cli.models:promote_main",
        "register a run's network, as champion if it beats the present one",
        "qmend models promote RUN_ID",
        hydra=False,
        notes=(
            "RUN_ID may be its first digits, or models:/qmend/VERSION.",
            "The alias champion moves to the run's network if that has a lower median L1RC on the",
            "same test circuits, with the 95 % interval of the paired difference below 0, and",
            "harms no larger share. Where there is no champion yet, it must improve on no",
            "mitigation, with the interval below 0. A champion that was scored on other data is",
            "scored on the run's test split first. checkpoint=models:/qmend@champion loads it.",
            "",
            "Options:",
            "  --force     champion whatever the comparison says, recorded in the version's tags;",
            "              not for a network that simulates its circuits. Takes one back, too",
            "  --root DIR  the tracking store, default mlruns",
        ),
    ),
    Command(
        "models list",
        "qmend.cli.models:list_main",
        "the registered networks, and which is the champion",
        "qmend models list",
        hydra=False,
        notes=(
            "Options:",
            "  --root DIR  the tracking store, default mlruns",
        ),
    ),
    Command(
        "report",
        "qmend.cli.report:main",
        "one HTML page from tracked runs: tables, paired differences, curves, searches",
        "qmend report report.runs=parent=RUN_ID output=reports/search.html",
        notes=(
            "report.runs is latest (the newest run with children, with them, or with figures),",
            "parent=RUN, tag=KEY:VALUE, or a list [RUN,RUN]; RUN is the first digits of an id.",
            "Plots go beside the page as PNG and SVG.",
        ),
    ),
    Command(
        "runs list",
        "qmend.cli.runs:list_main",
        "the runs of the store, parents with their children",
        "qmend runs list --kind train --dataset demo",
        hydra=False,
        notes=(
            "Options:",
            "  --kind, --dataset, --architecture, --status  only such runs",
            "  --limit N   default 40",
            "  --root DIR  default mlruns",
        ),
    ),
    Command(
        "runs show",
        "qmend.cli.runs:show_main",
        "one run: config, metrics, curves, tags, artifacts",
        "qmend runs show 3fb03150",
        hydra=False,
        notes=("RUN is the first digits of an id.", "Options:", "  --root DIR  default mlruns"),
    ),
    Command(
        "runs compare",
        "qmend.cli.runs:compare_main",
        "runs side by side: params that differ, metrics, paired differences",
        "qmend runs compare 3fb03150 9a01c4",
        hydra=False,
        notes=(
            "RUN is the first digits of an id; the others are compared with the first.",
            "Options:",
            "  --root DIR  default mlruns",
        ),
    ),
    Command(
        "runs prune",
        "qmend.cli.runs:prune_main",
        "remove old failed and killed runs and what is left of deleted ones",
        "qmend runs prune --days 30 --yes",
        hydra=False,
        notes=(
            "Options:",
            "  --days N    keep failed and killed runs that are younger, default 7",
            "  --yes       remove; without it nothing is",
            "  --root DIR  default mlruns",
            "Never removed: runs that finished or run, parents of those, what a registered model",
            "comes from, trainings that can go on, trials of a search that is kept.",
        ),
    ),
    Command(
        "runs reproduce",
        "qmend.cli.runs:reproduce_main",
        "run a training or baseline again by its own config; do the metrics agree?",
        "qmend runs reproduce 3fb03150",
        hydra=False,
        notes=(
            "RUN is the first digits of an id. Exit status 2 if the median L1RC leaves the 95 %",
            "interval of the first run.",
            "Options:",
            "  --data DIR  where datasets lie, beside where the run found its own; default data",
            "  --root DIR  default mlruns",
        ),
    ),
    Command(
        "bench",
        "qmend.cli.bench:main",
        "speed as a ratio against the alternative: simulator, datagen, data, training, tuning...",
        "qmend bench simulator --circuits 300 --repeats 5",
        hydra=False,
        notes=(
            "What: simulator (against Aer), datagen (against plain Qiskit), data (encoding and",
            "loading, against plain loops and pyarrow), training (against a bare PyTorch loop),",
            "tuning (a search against its trials alone), scaling (a plot).",
            "Options:",
            "  --circuits N  circuits a run, default 300",
            "  --repeats N   alternating runs, default 5",
            "  --plot FILE   where scaling draws its plot, default reports/scaling.svg",
            "The last line of output is one JSON object.",
        ),
    ),
    Command(
        "ui",
        "qmend.cli.ui:main",
        "MLflow's UI on the project's store",
        "qmend ui --port 5000",
        hydra=False,
        notes=(
            "Options:",
            "  --port N    default 5000",
            "  --root DIR  default mlruns",
        ),
    ),
    Command(
        "doctor",
        "qmend.cli.doctor:main",
        "what is installed and writable, and what to do where something is not",
        "qmend doctor",
        hydra=False,
    ),
)
