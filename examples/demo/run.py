"""`make demo`: untrained, taught by the logs, then by the reward; every row that could prove it wrong beside it.

Three rows are always there: `base`, `supervised` (a warm start on the logged replies) and `grpo` (from that warm
start, with the reward of reward.py). `--full` adds the controls: supervised steps on the same logs for GRPO's CPU
time, on the logs that `min_quality_score` keeps, and on clean gold replies. The test rows are answered greedily, all
together, and judged by `audit_ticket`, which the reward never saw. Stages end by step counts, and what is done
already in the output folder is not done again.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from stateset.rl import GRPOTrainer, load_config, load_customer_service_data, prepare_training_data
from stateset.rl.config.schema import Config, WarmStart
from stateset.rl.data.load import load_tasks
from stateset.rl.evaluation.arms import Answer, Arm
from stateset.rl.evaluation.compare import Comparison, compare, worst_first
from stateset.rl.evaluation.report import markdown, print_comparison
from stateset.rl.policy.load import load_configured
from stateset.rl.policy.optimizer import PolicyOptimizer
from stateset.rl.rollout.collect import collect_groups
from stateset.rl.rollout.engine import Sampling
from stateset.rl.rollout.model import Model
from stateset.rl.tracking.plot import plot_curves
from stateset.rl.types import Task
from stateset.rl.verifiers.ticket_audit import audit_ticket
from stateset.rl.verifiers.tickets import check_ticket
from stateset.rl.warm_start import imitate, load_examples

PROJECT = Path(__file__).parent / "project.yaml"
MIN_QUALITY = 0.8
GOLD_TIMES_WARM = 2  # supervised steps on gold replies, in warm starts: enough to stop getting better
QUICK = ("warm_start.max_steps=4", "max_steps=2", "batch_size=2", "rollout_n=4", "eval_every=2")
QUICK_STRIDE = 8  # every eighth held-out and test row
CRITERIA = {
    "reward's verifier": "passed",
    "right resolution": "resolution",
    "no other beside it": "single",
    "no forbidden promise": "keeps_promises",
    "no other order": "right_order",
    "names the order": "names_order",
    "complete": "complete",
}
console = Console()


def main() -> None:
    """Train what is missing in the output folder, answer the test rows, print the table."""
    given = _arguments()
    started, cpu = time.monotonic(), time.process_time()
    quick = QUICK if given.quick else ()
    run = given.out / "run"
    config = load_config(
        PROJECT, overrides=[*quick, *given.settings, f"seed={given.seed}", f"output_dir={run}"]
    )
    stride = QUICK_STRIDE if given.quick else 1
    tasks = load_tasks(load_customer_service_data("test")[::stride], name="test")
    console.print(f"{len(tasks)} test tickets; everything goes to {given.out}")
    arms = [_arm(given.out, config, tasks, "base", "SmolLM2 as it comes", lambda: config.model or "")]
    if not (run / "model").is_dir():
        held_out = load_customer_service_data("validation")[::stride]
        GRPOTrainer(config=config).train(eval_dataset=held_out)
    spent = _cpu_of_steps(run)
    grpo = sum(value for step, value in spent.items() if step)
    notes = {
        "supervised": ("warm_start", f"{_steps(config)} steps on the logs, {spent[0] / 60:.0f} CPU min"),
        "grpo": ("model", f"the same, then {len(spent) - 1} GRPO steps, {grpo / 60:.0f} CPU min"),
    }
    for name, (folder, note) in notes.items():
        arms.append(_arm(given.out, config, tasks, name, note, lambda folder=folder: str(run / folder)))
    if given.full:
        arms += _controls(given.out, config, tasks, run, grpo, spent[0] / _steps(config))
    comparison = compare(arms, target="grpo")
    _report(given.out, comparison, run, tasks)
    minutes = (time.monotonic() - started) / 60
    console.print(f"{minutes:.0f} minutes, {(time.process_time() - cpu) / 60:.0f} of CPU time")
    if given.quick:
        console.print("The quick demo proves only that all parts work together; its numbers mean nothing.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("settings", nargs="*", metavar="key=value", help="overrides of project.yaml")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder of this demo (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="add the control rows")
    parser.add_argument("--quick", action="store_true", help="a few steps: proves only the wiring")
    return parser.parse_args()


def _steps(config: Config) -> int:
    assert config.warm_start is not None and config.warm_start.max_steps is not None
    return config.warm_start.max_steps


def _cpu_of_steps(run: Path) -> dict[int, float]:
    """CPU seconds of each step, evaluations between them included; step 0 is the warm start."""
    lines = map(json.loads, (run / "timings.jsonl").read_text().splitlines())
    return {line["step"]: line["seconds"]["cpu"] for line in lines}


def _controls(
    out: Path, config: Config, tasks: Sequence[Task], run: Path, grpo_cpu: float, step_cpu: float
) -> Iterator[Arm]:
    """The rows that learn from replies alone, for as long as GRPO took."""
    logs, extra, warm = load_customer_service_data(), math.ceil(grpo_cpu / step_cpu), _steps(config)
    kept = prepare_training_data("support_tickets", min_quality_score=MIN_QUALITY)
    model = config.model or ""
    for name, note, start, rows, column, steps in (
        ("supervised on", f"the warm start, then {extra} steps more on the logs: GRPO's CPU time",
         str(run / "warm_start"), logs, "reply", extra),
        ("supervised filtered", f"{warm + extra} steps on the {len(kept)} logs of quality {MIN_QUALITY} and more",
         model, kept, "reply", warm + extra),
        ("supervised gold", f"{GOLD_TIMES_WARM * warm} steps on clean gold replies, for orientation",
         model, logs, "answer", GOLD_TIMES_WARM * warm),
    ):  # fmt: skip
        settings = WarmStart(
            column=column,
            epochs=1 + steps,
            max_steps=steps,
            learning_rate=_rate(config),
            batch_size=_size(config),
        )

        def train(
            start: str = start, rows: Any = rows, settings: WarmStart = settings, name: str = name
        ) -> str:
            return _supervise(out / name.replace(" ", "-"), config, start, rows, settings, name)

        yield _arm(out, config, tasks, name, note, train)


def _rate(config: Config) -> float:
    assert config.warm_start is not None
    return config.warm_start.learning_rate


def _size(config: Config) -> int:
    assert config.warm_start is not None
    return config.warm_start.batch_size


def _supervise(
    folder: Path, config: Config, start: str, rows: Sequence[Any], settings: WarmStart, name: str
) -> str:
    """Supervised steps from a model folder or name; returns the folder of the result."""
    policy = load_configured(start, config)
    optimizer = PolicyOptimizer(
        policy, betas=config.betas, weight_decay=config.weight_decay, max_grad_norm=config.max_grad_norm
    )
    examples = load_examples(
        policy, settings, load_tasks(rows),
        max_prompt_length=config.max_prompt_length, max_response_length=config.max_response_length,
    )  # fmt: skip
    with console.status(name) as status:
        imitate(
            policy, optimizer, examples, settings, seed=config.seed, micro_batch_tokens=1,
            on_step=lambda done: status.update(f"{name}: step {done.step}/{done.total}, loss {done.loss:.3f}"),
        )  # fmt: skip
    return str(policy.save(folder))


def _arm(
    out: Path, config: Config, tasks: Sequence[Task], name: str, note: str, model: Callable[[], str]
) -> Arm:
    """One row of the table: the model's answers to the test rows, kept in `test/<name>.jsonl`."""
    file = out / "test" / f"{name.replace(' ', '-')}.jsonl"
    if not file.is_file():
        cpu = time.process_time()
        loaded = Model(load_configured(model(), config))
        trained = time.process_time() - cpu
        texts = _answers(loaded, config, tasks)
        lines = [{"note": note, "cpu_seconds": trained}]
        lines += [{"id": task.id, "text": text} for task, text in zip(tasks, texts, strict=True)]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    head, *rows = map(json.loads, file.read_text().splitlines())
    answers = tuple(_judge(task, row["text"]) for task, row in zip(tasks, rows, strict=True))
    arm = Arm(name=name, answers=answers, cpu_seconds=None, note=head["note"])
    console.print(f"{name}: {sum(a.passed for a in answers)} of {len(answers)} right ({head['note']})")
    return arm


def _answers(model: Model, config: Config, tasks: Sequence[Task]) -> list[str]:
    policy = model.policy
    groups = collect_groups(
        model.engine, policy, tasks,
        num_samples=1, max_prompt_length=config.max_prompt_length, run_seed=0, purpose="test",
        sampling=Sampling(temperature=0.0, max_tokens=config.max_response_length, stop_ids=policy.stop_ids),
    )  # fmt: skip
    return [group.rollouts[0].text for group in groups]


def _judge(task: Task, text: str) -> Answer:
    context = task.context
    check = check_ticket(text, context)
    return Answer(
        task_id=task.id,
        cluster=context["template"],
        slices={"situation": context["situation"], "difficulty": str(task.difficulty)},
        text=text,
        passed=audit_ticket(task.question, text, context),
        parts={name: float(getattr(check, field)) for name, field in CRITERIA.items()},
    )


def _report(out: Path, comparison: Comparison, run: Path, tasks: Sequence[Task]) -> None:
    """The table, three tickets with all answers, and where everything lies."""
    print_comparison(comparison, console)
    by_id = {task.id: task for task in tasks}
    cases = []
    for title, case in zip(("worst", "median", "best"), worst_first(comparison, "supervised"), strict=True):
        task = by_id[case.task_id]
        lines = [
            f"{name} ({'right' if answer.passed else 'wrong'}): {answer.text}"
            for name, answer in case.answers.items()
        ]
        system = task.prompt[0]["content"] if not isinstance(task.prompt, str) else ""
        head = f"### The {title} ticket for grpo: {case.task_id}, right is `{task.context['resolution']}`"
        cases.append("\n\n".join([head, f"```\n{system}\n\n{task.question}\n```", *lines]))
        console.print(f"\n{cases[-1]}", markup=False, highlight=False)
    (out / "report.md").write_text(f"{markdown(comparison)}\n\n" + "\n\n".join(cases) + "\n")
    picture = plot_curves(run)
    console.print(
        f"\nreport   {out / 'report.md'}\ncurves   {picture}\nanswers  {out / 'test'}\nmodel    {run / 'model'}"
    )


if __name__ == "__main__":
    main()
