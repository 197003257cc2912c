"""`make demo`: a small model as it comes, taught by the logs, then by the reward, on the same test tickets.

Three rows are always there: `base`, `supervised` (a warm start on the logged replies) and `grpo` (from that
warm start on, with the reward of reward.py, most of all on the tickets that the logs got wrong). `--full`
adds the rows that could prove it wrong, which imitate for the CPU time of both stages, under one decay of the
rate: the same logs, those that `min_quality_score` keeps, and those that the reward accepts; and, for
orientation, clean gold replies. Answers are judged by `audit_ticket`, which the reward never saw. Stages end
by step counts; the rows that shall take as long get theirs from what a step of the warm start took. A row
whose answers lie in the output folder is not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from answers import REWARD_SAYS, answer_tickets, greedy_answers
from rich.console import Console

from stateset.rl import GRPOTrainer, load_config, load_customer_service_data, prepare_training_data, verifiers
from stateset.rl.checkpoint import list_checkpoints
from stateset.rl.config.rules import acting_values
from stateset.rl.config.schema import Config
from stateset.rl.data.bundled import SPLITS
from stateset.rl.data.load import load_tasks
from stateset.rl.errors import StatesetRLError, StoppedError
from stateset.rl.evaluation.compare import Comparison, compare, worst_first
from stateset.rl.evaluation.report import markdown, print_comparison
from stateset.rl.evaluation.statistics import cohen_kappa
from stateset.rl.manifest import fingerprint
from stateset.rl.policy.learner import Learner
from stateset.rl.policy.load import load_configured
from stateset.rl.rollout.model import Model
from stateset.rl.tracking.plot import plot_curves
from stateset.rl.types import Task
from stateset.rl.verifiers.tickets import check_ticket
from stateset.rl.warm_start import SupervisedStep, imitate, load_examples

PROJECT = Path(__file__).parent / "project.yaml"
MIN_QUALITY = 0.8
METRIC = ("ticket_audit", "ticket_words")  # how the modules of `audit_ticket` begin
STATES = 3  # of a control, from which validation picks one
QUICK = ("warm_start.max_steps=4", "max_steps=2", "batch_size=2", "rollout_n=4", "eval_every=2")
QUICK_STRIDE = 8  # every eighth held-out and test ticket
console = Console()


def main() -> None:
    """Train what is missing in the output folder, answer the test tickets, print the table."""
    given = _arguments()
    started, cpu = time.monotonic(), time.process_time()
    stride = QUICK_STRIDE if given.quick else 1
    run = given.out / "run"
    own = {setting.partition("=")[0] for setting in given.settings}
    quick = [setting for setting in QUICK if given.quick and setting.partition("=")[0] not in own]
    layers = [*quick, *given.settings, f"seed={given.seed}", f"output_dir={run}"]
    config = load_config(PROJECT, overrides=layers)
    tasks = load_tasks(load_customer_service_data("test")[::stride], name="test")
    rows = fingerprint(repr(load_customer_service_data(split)) for split in SPLITS)
    facts = {"quick": given.quick, "rows": rows, "reward code": _code_of_reward()}
    _refuse_other_settings(given.out, acting_values(config) | facts)
    console.print(f"{len(tasks)} test tickets; everything goes to {given.out}")
    answer = partial(_answer, given.out, config, tasks)

    arms = [answer("base", lambda: (str(config.model), 0.0, "as it comes"))]
    held_out = load_customer_service_data("validation")[::stride]
    if not (run / "model").is_dir():
        resume = run if list_checkpoints(run / "checkpoints") else None
        if resume is None:  # killed in the warm start: nothing to go on from
            shutil.rmtree(run, ignore_errors=True)
        try:
            GRPOTrainer(config=config).train(_practice(), eval_dataset=held_out, resume=resume)
        except StoppedError as stop:  # its own advice is for a run that is no part of a demo
            console.print("stopped; the same call goes on from the last checkpoint")
            raise SystemExit(stop.exit_code) from stop
    cost = _cost(run)
    note = f"{cost.warm_steps} steps on the logs"
    arms.append(answer("supervised", lambda: (str(run / "warm_start"), cost.warm, note)))
    note = f"the same, then {cost.grpo_steps} steps with the reward; the best state on validation"
    arms.append(answer("grpo", lambda: (str(run / "best"), cost.warm + cost.grpo, note)))
    if given.full:
        validation = load_tasks(held_out, name="validation")
        arms += [
            answer(control.name, partial(_supervise, given.out, config, validation, control))
            for control in _controls(cost)
        ]

    _report(given.out, compare(arms, target="grpo"), tasks, plot_curves(run))
    minutes = (time.monotonic() - started) / 60
    console.print(f"this call: {minutes:.0f} minutes, {(time.process_time() - cpu) / 60:.0f} of CPU time")
    if given.quick:
        console.print("The quick demo proves only that all parts work together; its numbers mean nothing.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides of project.yaml")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="output folder (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="add the control rows")
    parser.add_argument("--quick", action="store_true", help="a few steps: proves only the wiring")
    return parser.parse_args()


def _refuse_other_settings(out: Path, settings: Mapping[str, Any]) -> None:
    """An output folder holds the stages of one demo; answers of another one are not its own."""
    file, settings = out / "settings.json", {k: v for k, v in settings.items() if k != "output_dir"}
    try:
        earlier = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError:
        earlier = {"settings.json": "damaged"}
    if out.is_dir() and any(out.iterdir()):
        usual = {key: field.default for key, field in Config.model_fields.items()} | settings
        known = {key: earlier.get(key, usual.get(key)) for key in {*earlier, *settings} - {"output_dir"}}
        other = sorted(key for key, value in known.items() if value != settings.get(key, usual.get(key)))
        if other or not earlier:
            differs = f"differs in {', '.join(other)}" if other else "is not the folder of a demo"
            raise SystemExit(f"{out} {differs} ({file}): give another --out")
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(settings, indent=1))


def _code_of_reward() -> str:
    """Hash of the reward and of what it asks: with other code the rows would be others.

    The metric is not part of it: answers are judged when they are shown, not when they are made.
    """
    files = sorted(Path(verifiers.__file__).parent.glob("ticket*.*"))
    asked = [file for file in files if not file.name.startswith(METRIC)]
    return fingerprint(file.read_text() for file in (PROJECT.parent / "reward.py", *asked))


def _answer(out: Path, config: Config, tasks: Sequence[Task], name: str, make: Any) -> Any:
    console.print(f"{name} ...")
    arm = answer_tickets(out / "test" / f"{name.replace(' ', '-')}.jsonl", name, config, tasks, make)
    right = sum(answer.passed for answer in arm.answers)
    console.print(f"{name}: {right} of {len(tasks)} right")
    return arm


class Cost(NamedTuple):
    """CPU seconds and steps of the two stages of a run; evaluations between GRPO's steps count as GRPO's."""

    warm: float
    warm_steps: int
    grpo: float
    grpo_steps: int


def _cost(run: Path) -> Cost:
    lines = [json.loads(line) for line in (run / "timings.jsonl").read_text().splitlines()]
    seconds = {line["step"]: line["seconds"]["cpu"] for line in lines}
    warm_steps = len((run / "warm_start.jsonl").read_text().splitlines())
    return Cost(seconds[0], warm_steps, sum(seconds.values()) - seconds[0], len(seconds) - 1)


class Control(NamedTuple):
    """A model that learns from replies alone, from the base model on."""

    name: str
    note: str
    rows: Sequence[Any]
    column: str
    steps: int


def _logs(*, accepted: bool) -> list[Any]:
    """The training tickets whose logged reply the reward accepts, or rejects."""
    return [row for row in load_customer_service_data() if check_ticket(row["reply"], row).passed == accepted]


def _practice() -> list[Any]:
    """What GRPO trains on: every ticket that the logs got wrong, and every second one of the others."""
    return _logs(accepted=False) + _logs(accepted=True)[::2]


def _controls(cost: Cost) -> Iterator[Control]:
    logs, accepted = load_customer_service_data(), _logs(accepted=True)
    kept = prepare_training_data("support_tickets", min_quality_score=MIN_QUALITY)
    steps = math.ceil((cost.warm + cost.grpo) * cost.warm_steps / cost.warm)  # as long as both stages
    yield Control("supervised on", f"{steps} steps on the same logs", logs, "reply", steps)
    note = f"{steps} steps on the {len(kept)} logs of quality {MIN_QUALITY} or more"
    yield Control("supervised filtered", note, kept, "reply", steps)
    note = f"{steps} steps on the {len(accepted)} logs that the reward accepts"
    yield Control("supervised accepted", note, accepted, "reply", steps)
    note = f"{cost.warm_steps} steps on clean gold replies, for orientation"
    yield Control("supervised gold", note, logs, "answer", cost.warm_steps)


def _supervise(
    out: Path, config: Config, held_out: Sequence[Task], control: Control
) -> tuple[str, float, str]:
    """Take a control's supervised steps; returns its model folder, CPU seconds and note.

    Of its states after a third, two thirds and all of the steps, the one that does best on the validation
    tickets counts, as with GRPO.
    """
    assert config.warm_start is not None
    cpu, folder = time.process_time(), out / control.name.replace(" ", "-")
    own = {"rows": None, "column": control.column, "epochs": control.steps, "max_steps": control.steps}
    config = config.model_copy(update={"warm_start": config.warm_start.model_copy(update=own)})
    policy = load_configured(str(config.model), config)
    model, learner = Model(policy), Learner(policy, config, exact_sampler=True)
    found: dict[int, float] = {}

    def try_out(step: int) -> None:
        model.engine.load_weights(policy)
        texts = greedy_answers(model, config, held_out)
        right = [check_ticket(text, task.context).passed for task, text in zip(held_out, texts, strict=True)]
        found[step] = sum(right) / len(right)
        if found[step] == max(found.values()):
            policy.save(folder)

    def after(step: SupervisedStep) -> None:
        status.update(f"{control.name}: {step.step}/{step.total}, loss {step.loss:.3f}")
        if step.step * STATES // step.total != (step.step - 1) * STATES // step.total:
            try_out(step.step)

    with console.status(control.name) as status:
        examples = load_examples(policy, config, load_tasks(control.rows))
        assert len(examples) == len(control.rows), "a control imitates its own rows"
        imitate(learner, examples, config, after)
    best = max(found, key=lambda step: (found[step], step))
    states = ", ".join(f"{share:.0%} after {step}" for step, share in found.items())
    note = f"{control.note}; validation: {states}; taken: {best}"
    return str(folder), time.process_time() - cpu, note


def _report(out: Path, comparison: Comparison, tasks: Sequence[Task], picture: Path) -> None:
    """The table, three tickets with all answers, and where everything lies."""
    print_comparison(comparison, console)
    answers = [answer for result in comparison.arms for answer in result.arm.answers]
    kappa = cohen_kappa([a.passed for a in answers], [bool(a.parts[REWARD_SAYS]) for a in answers])
    console.print(f"agreement of reward and metric over all {len(answers)} answers: kappa {kappa:.3f}")
    by_id = {task.id: task for task in tasks}
    stories = []
    for title, case in zip(("worst", "median", "best"), worst_first(comparison, "supervised"), strict=True):
        task = by_id[case.task_id]
        system, user = (message["content"] for message in task.prompt)  # type: ignore[index]
        verdicts = [
            f"- **{name}** ({'right' if answer.passed else 'wrong'}): {' '.join(answer.text.split())}"
            for name, answer in case.answers.items()
        ]
        head = f"### {title}: {task.id}, right is {task.context['resolution']}"
        stories.append("\n".join([head, "", "```", system, "", user, "```", "", *verdicts, ""]))
        console.print(stories[-1], markup=False, highlight=False)
    (out / "report.md").write_text(markdown(comparison) + "\n" + "\n".join(stories))
    paths = {"report": out / "report.md", "curves": picture, "answers": out / "test", "models": out}
    console.print("\n".join(f"{name:8} {path}" for name, path in paths.items()))


if __name__ == "__main__":
    try:
        main()
    except StatesetRLError as problem:
        raise SystemExit(f"error: {problem}") from problem
