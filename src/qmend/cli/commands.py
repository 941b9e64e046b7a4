"""The table of all sub-commands."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from qmend.cli.arguments import Option, at_least
from qmend.cli.command import Command, HydraCommand, PlainCommand, StudyCommand
from qmend.config.paths import study_configs
from qmend.config.quoting import path_first, quoted_ids
from qmend.tracking.location import store_root

#: Benchmarks; ``qmend.benchmarks.NAME`` has a function ``bench_NAME``.
BENCHMARKS = ("simulator", "datagen", "worlds", "data", "training", "tuning", "scaling", "startup")


def has_benchmarks() -> bool:
    """Say whether the benchmarks are there: a wheel has none."""
    return importlib.util.find_spec("qmend.benchmarks") is not None


def _study_commands() -> Iterator[Command]:
    """List the studies; the first lines of each one's config say what it does."""
    for path in study_configs():
        _, summary, example, *_ = path.read_text().splitlines()
        yield StudyCommand(
            f"study {path.stem}",
            "qmend.cli.study:show_study",
            summary.partition(": ")[2],
            example.partition(": ")[2],
            config=f"study/{path.stem}",
            prepare=quoted_ids,
        )


_RUN = Option("run", metavar="RUN", help="first digits of a run's id")
_ROOT = Option(
    "--root",
    type=store_root,
    metavar="DIR|URL",
    help="tracking store: a directory or an MLflow server's address; default: "
    "MLFLOW_TRACKING_URI, else mlruns",
)

COMMANDS: tuple[Command, ...] = (
    HydraCommand(
        "demo",
        "qmend.cli.demo:run_demo",
        "dataset, four trainings, five baselines, a table and a report, in a few minutes",
        "qmend demo device=hanoi output=reports/hanoi.html",
        config="demo",
    ),
    HydraCommand(
        "data generate",
        "qmend.cli.data:generate_data",
        "make a dataset, or resume an interrupted one",
        "qmend data generate dataset=tiny device=hanoi data.workers=2",
        config="generate",
    ),
    HydraCommand(
        "data collect",
        "qmend.cli.collect:collect_data",
        "run a dataset's circuits on hardware, or resume; keep the data as a frozen stage of DVC",
        "qmend data collect device=algiers dataset=tiny collect.execution=local",
        config="collect",
    ),
    HydraCommand(
        "data verify",
        "qmend.cli.data:verify_data",
        "prove a dataset: hashes, labels, splits, noise against Aer, shots; also qmend data verify "
        "DIRECTORY",
        "qmend data verify dataset=demo",
        config="verify",
        prepare=partial(path_first, "folder"),
    ),
    PlainCommand(
        "data import",
        "qmend.cli.import_:import_data",
        "import circuits measured elsewhere; prove their labels, check their bit order",
        "qmend data import measured.jsonl --name lab_2026",
        notes=("One record per circuit; docs/datasets/importing.md describes the fields.",),
        options=(
            Option("file", type=Path, metavar="FILE", help="JSON lines or Parquet"),
            Option("--name", required=True, help="of the dataset"),
            Option(
                "--root",
                type=Path,
                default=Path("data"),
                metavar="DIR",
                help="parent directory of the dataset, default %(default)s",
            ),
            Option(
                "--bit-order",
                default="qiskit",
                metavar="ORDER",
                help="qiskit (default: bit 0 is the rightmost character), reversed, bits-reversed "
                "(within each register), registers-reversed (bits as in Qiskit), or a permutation "
                "such as 2,0,1: the circuit's bit behind each character, from the right",
            ),
            Option(
                "--family", default="imported", metavar="NAME", help="of records without a family"
            ),
            Option("--seed", type=at_least(0), default=0, metavar="N", help="of the split"),
            Option("--replace", action="store_true", help="overwrite another dataset of that name"),
        ),
    ),
    HydraCommand(
        "data show",
        "qmend.cli.show:show_data",
        "show a dataset as tables and an HTML page; also qmend data show DIRECTORY",
        "qmend data show dataset=demo device=algiers",
        config="show",
        prepare=partial(path_first, "folder"),
    ),
    HydraCommand(
        "train",
        "qmend.cli.train:train_network",
        "train one network and score it; -m trains every combination",
        "qmend train -m model=blind_mlp,walsh_operator seed=0,1 hydra/launcher=joblib resume=true",
        config="train",
        notes=(
            "Many at once (-m): one parent run, one run per combination, a table at the end.",
            "  hydra/launcher=joblib   several at a time; hydra.launcher.n_jobs=2 sets how many",
            "  resume=true             skip finished runs, by the hashes of config and data",
            "Exit status 3 if some failed.",
        ),
        prepare=quoted_ids,
    ),
    HydraCommand(
        "tune",
        "qmend.cli.tune:tune_network",
        "search for an architecture's best config, or resume a search",
        "qmend tune experiment=walsh_operator dataset=small tune.trials=50",
        config="tune",
    ),
    HydraCommand(
        "evaluate",
        "qmend.cli.evaluate:evaluate_networks",
        "score a trained model beside the baselines on a dataset's test split",
        "qmend evaluate checkpoint=RUN_ID device=hanoi",
        config="evaluate",
        prepare=quoted_ids,
    ),
    HydraCommand(
        "guard",
        "qmend.cli.guard:guard_network",
        "make a network's guard, which abstains where the network is likely to harm",
        "qmend guard checkpoint=RUN_ID",
        config="guard",
        notes=(
            "Simulates worlds by the recipe of the network's training data that it has not seen:",
            "to fit the probability of harm, to choose the threshold, and to measure. The guard is",
            "stored beside the network; evaluate, study hardware and qmend.load then use it.",
        ),
        prepare=quoted_ids,
    ),
    *_study_commands(),
    HydraCommand(
        "references",
        "qmend.cli.references:write_circuits",
        "write references of a compiled circuit: variants with a known ideal, to be run in the "
        "same job; qmend references CIRCUIT",
        "qmend references circuit.qasm references.count=9",
        config="references",
        notes=(
            "CIRCUIT is OpenQASM 2 or 3 in native gates, with its measurements. Only angles of RZ",
            "change. Each reference is a file of OpenQASM; references.jsonl has their ideals, as",
            "records that qmend data import takes when device and counts are added.",
        ),
        prepare=partial(path_first, "circuit"),
    ),
    PlainCommand(
        "models promote",
        "qmend.cli.models:promote_model",
        "register a run's network, as champion if it beats the present one",
        "qmend models promote RUN_ID",
        notes=(
            "The alias champion moves to the run's network if that has a lower median L1RC on the",
            "same test circuits, with the 95 % interval of the paired difference below 0, and the",
            "interval of the harmed share's difference ends at 1 % point at most. Without a",
            "champion it must beat no mitigation, by the same rule. A champion scored on other",
            "data is first scored on the run's test split. checkpoint=models:/qmend@champion",
            "loads it.",
        ),
        options=(
            Option(
                "run", metavar="RUN", help="first digits of a run's id, or models:/qmend/VERSION"
            ),
            Option(
                "--force",
                action="store_true",
                help="champion whatever the comparison says, recorded in the version's tags; "
                "also goes back to an older version; refused for a network that simulates its "
                "circuits",
            ),
            _ROOT,
        ),
    ),
    PlainCommand(
        "models list",
        "qmend.cli.models:list_models",
        "list the registered networks and the champion",
        "qmend models list",
        options=(_ROOT,),
    ),
    PlainCommand(
        "models export",
        "qmend.cli.models:export_model",
        "write a network's weights, description, guard and card to a directory",
        "qmend models export RUN_ID network",
        options=(
            Option(
                "model",
                metavar="MODEL",
                help="first digits of a run's id, models:/qmend/VERSION, or a directory",
            ),
            Option("folder", type=Path, metavar="DIRECTORY", help="made if it is not there"),
            _ROOT,
        ),
    ),
    HydraCommand(
        "report",
        "qmend.cli.report:report_runs",
        "one HTML page from tracked runs: tables, paired differences, curves, searches",
        "qmend report runs=parent=RUN_ID output=reports/search.html",
        config="report",
        notes=(
            "runs is latest (the newest run with children, with them, or with figures; a search or",
            "a single run beside all that was scored on the same data), parent=RUN, tag=KEY:VALUE,",
            "or a list [RUN,RUN]; RUN is the first digits of an id.",
            "Plots go beside the page as PNG and SVG.",
        ),
        prepare=quoted_ids,
    ),
    PlainCommand(
        "runs list",
        "qmend.cli.runs:list_runs",
        "list the runs of the store, parents with their children",
        "qmend runs list --kind train --dataset demo",
        options=(
            *(
                Option(f"--{name}", help=f"only runs of this {name}")
                for name in ("kind", "dataset", "architecture", "status")
            ),
            Option(
                "--limit", type=at_least(1), default=40, metavar="N", help="default %(default)s"
            ),
            _ROOT,
        ),
    ),
    PlainCommand(
        "runs show",
        "qmend.cli.runs:show_run",
        "show one run: config, metrics, curves, tags, artifacts",
        "qmend runs show 3fb03150",
        options=(_RUN, _ROOT),
    ),
    PlainCommand(
        "runs compare",
        "qmend.cli.runs:compare_runs",
        "compare runs side by side: params that differ, metrics, paired differences",
        "qmend runs compare 3fb03150 9a01c4",
        options=(
            _RUN,
            Option("others", nargs="+", metavar="OTHER", help="compared with RUN, at most 7"),
            _ROOT,
        ),
    ),
    PlainCommand(
        "runs prune",
        "qmend.cli.runs:prune_runs",
        "remove old failed and killed runs and the remains of deleted ones",
        "qmend runs prune --days 30 --yes",
        notes=(
            "Never removed: finished and running runs and their parents, runs behind registered",
            "models, trainings that can be resumed, trials of a search that is kept.",
        ),
        options=(
            Option(
                "--days",
                type=at_least(0, float),
                default=7.0,
                metavar="N",
                help="keep younger failed and killed runs, default %(default)g",
            ),
            Option("--yes", action="store_true", help="remove; without it nothing is removed"),
            _ROOT,
        ),
    ),
    PlainCommand(
        "runs reproduce",
        "qmend.cli.runs:reproduce_run",
        "repeat a training or baseline by its own config and compare the metrics",
        "qmend runs reproduce 3fb03150",
        notes=("Exit status 2 if the median L1RC leaves the 95 % interval of the first run.",),
        options=(
            _RUN,
            Option(
                "--data",
                type=Path,
                default=Path("data"),
                metavar="DIR",
                help="where datasets lie, beside the run's own directory; default %(default)s",
            ),
            _ROOT,
        ),
    ),
    PlainCommand(
        "bench",
        "qmend.cli.bench:run_benchmark",
        "measure speed as a ratio against the alternative; needs a checkout",
        "qmend bench simulator --circuits 300 --repeats 5",
        notes=(
            "simulator (against Aer), datagen (against plain Qiskit), worlds (circuits measured in",
            "new worlds, against new circuits), data (encoding and loading, against plain loops",
            "and pyarrow), training (against a bare PyTorch loop), tuning (a search against its",
            "trials alone), scaling (a plot), startup (the first word of each command against",
            "bare imports). The last line of output is one JSON object.",
        ),
        options=(
            Option("what", choices=BENCHMARKS, metavar="|".join(BENCHMARKS), help="see above"),
            Option(
                "--circuits", type=at_least(1), default=300, metavar="N", help="default %(default)s"
            ),
            Option(
                "--repeats",
                type=at_least(1),
                default=5,
                metavar="N",
                help="alternating runs, default %(default)s",
            ),
            Option("--plot", type=Path, default=Path("reports/scaling.svg"), help="of scaling"),
        ),
    ),
    PlainCommand(
        "ui",
        "qmend.cli.ui:serve_ui",
        "open MLflow's UI on the project's store",
        "qmend ui --port 5000",
        options=(
            Option("--port", type=int, default=5000, metavar="N", help="default %(default)s"),
            _ROOT,
        ),
    ),
    PlainCommand(
        "doctor",
        "qmend.cli.doctor:examine",
        "check the installation; say what to do where something is missing",
        "qmend doctor",
    ),
)
