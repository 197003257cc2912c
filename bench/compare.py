"""Steps of this package against TRL 1.16, decoding against vLLM: process CPU seconds, each side in turns.

    make bench                                       # two sizes of a step, about 15 minutes
    make bench-full                                  # every row, and sweeps of our own; hours, resumable
    python bench/compare.py --rows "prompt 200, n 8, 64 new" --rounds 1

Each cell of each round is a process of its own on one thread; its line is appended to `--out`, and a line
that is there is not measured again. Process CPU time says more than wall time on a shared machine. Both sides
make exactly the wanted tokens, skip no group, and step with the same optimizer and clipping, or the run
stops. TRL has two variants: bf16 weights (which lose small updates to rounding), and bf16 autocast over
float32 weights, which is what ours keeps; ratios are given against both. TRL and vLLM live in `.venv-trl` and
`.venv-vllm`, made here.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from ceilings import Machine, Shape, least
from cell import Cell

ROOT = Path(__file__).resolve().parents[1]
OURS, TRL, VLLM = (ROOT / name / "bin/python" for name in (".venv", ".venv-trl", ".venv-vllm"))
QUICK = (Cell(), Cell(prompt_tokens=800))
FULL = (
    *QUICK, Cell(prompt_tokens=800, group=16), Cell(new_tokens=256),
    Cell(lora=16), Cell(beta=0.04), Cell(prompts=4),
)  # fmt: skip
SWEEPS = {
    "responses": [Cell(prompt_tokens=p, group=n) for p in (200, 800) for n in (2, 4, 8, 16)],
    "new tokens": [Cell(new_tokens=t) for t in (32, 64, 128, 256)],
    "prompt tokens": [Cell(prompt_tokens=p) for p in (100, 200, 400, 800)],
}
VARIANTS = ("bf16", "bf16-autocast")
Line = dict[str, Any]


class Side(NamedTuple):
    """A script in its environment, with how many steps it measures after a warm-up."""

    tool: str
    dtype: str
    python: Path
    script: str
    steps: int


STEP = (
    Side("stateset-rl", "bf16", OURS, "step_ours.py", 5),
    *(Side("TRL", dtype, TRL, "step_trl.py", 2) for dtype in VARIANTS),
)
DECODE = (
    Side("stateset-rl", "bf16", OURS, "decode_ours.py", 5),
    Side("vLLM", "bf16", VLLM, "decode_vllm.py", 3),
)


def main() -> None:
    """Measure what is missing, print the tables."""
    given = _arguments()
    named = {cell.name: cell for cell in FULL}
    cells = [named[name] for name in given.rows] if given.rows else FULL if given.full else QUICK
    bench = Bench(given.out, given.model)
    machine = bench.machine()
    _measure(bench, cells, given)
    print(bench.report(cells, *machine))
    if given.sweeps:
        _run(OURS, [str(ROOT / "bench" / "growth.py"), str(given.out), str(given.out.with_suffix(".png"))])
    if not given.rows:
        begun, ended = bench.first_rollout()
        print(f"\nfrom the command to the first rollout {begun:.1f} s, to its end {ended:.1f} s (wall)")
        case = json.loads(_run(OURS, [str(ROOT / "bench" / "sandbox.py")]).splitlines()[-1])
        print(
            f"a case in the sandbox: median {case['median']} ms, p95 {case['p95']} ms (wall), "
            f"{case['processor']} ms of the processor"
        )


def _measure(bench: Bench, cells: Sequence[Cell], given: argparse.Namespace) -> None:
    """Every cell by each side in turns, and again in the next round."""
    sides = [side for side in STEP if side.tool != "TRL" or side.dtype in given.trl]
    if given.steps:
        sides = [side._replace(steps=given.steps) for side in sides]
    for number in range(given.rounds):
        for cell in cells:
            for side in sides:
                bench.measure("step", number, cell, side)
        for side in DECODE if given.decode else ():
            bench.measure("decode", number, Cell(), side)
    for cell in dict.fromkeys(cell for sweep in SWEEPS.values() for cell in sweep) if given.sweeps else ():
        bench.measure("step", 0, cell, sides[0])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="every row and the sweeps")
    parser.add_argument("--decode", action="store_true", help="decoding against vLLM, too")
    parser.add_argument("--sweeps", action="store_true", help="the sweeps of our own, too")
    names = [cell.name for cell in FULL]
    parser.add_argument(
        "--rows", nargs="+", metavar="NAME", choices=names, help="only these: " + "; ".join(names)
    )
    parser.add_argument("--trl", nargs="+", choices=VARIANTS, default=VARIANTS, help="only these of TRL's")
    parser.add_argument("--steps", type=int, help="measured ones of each side; else 5 of ours and 2 of TRL's")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench.jsonl")
    given = parser.parse_args()
    given.decode, given.sweeps = given.decode or given.full, given.sweeps or given.full
    return given


class Bench:
    """The lines measured so far, in a file; new ones are appended."""

    def __init__(self, out: Path, model: str) -> None:
        self.out = out
        out.parent.mkdir(parents=True, exist_ok=True)
        self.lines: list[Line] = (
            [json.loads(text) for text in out.read_text().splitlines()] if out.exists() else []
        )
        locate = (
            f"from stateset.rl.policy.load import offline_model; print(offline_model({model!r}) or {model!r})"
        )
        self.model = _run(OURS, ["-c", locate]).strip()

    def measure(self, kind: str, number: int, cell: Cell, side: Side) -> None:
        """One process, unless its line is there."""
        key = {"kind": kind, "round": number, "cell": cell.name, "tool": side.tool, "dtype": side.dtype}
        if any(all(line.get(name) == value for name, value in key.items()) for line in self.lines):
            return
        _prepare(side)
        words = [*cell.words(), "--model", self.model, "--steps", str(side.steps)]
        words += ["--dtype", side.dtype] if side.tool == "TRL" else []
        try:
            said = _run(side.python, [str(ROOT / "bench" / side.script), *words])
        except subprocess.CalledProcessError as error:
            if error.returncode != -signal.SIGKILL:
                raise
            print(
                f"{kind} {cell.name}: {side.tool} {side.dtype} was killed, for want of memory?",
                file=sys.stderr,
            )
            return
        found = json.loads(said.splitlines()[-1])
        self._check_alike(key, found)
        self._append(key | {"date": datetime.now(UTC).isoformat(timespec="minutes")} | found)
        print(f"{kind} {cell.name}: {side.tool} {side.dtype} "
              f"{[round(s, 1) for s in found['cpu_seconds']]}", file=sys.stderr)  # fmt: skip

    def machine(self) -> tuple[Shape, Machine]:
        """The ceilings, measured anew in each call; the best ones seen so far count."""
        found = json.loads(_run(OURS, [str(ROOT / "bench" / "ceilings.py"), self.model]))
        self._append({"kind": "machine", **found})
        seen = [line["machine"] for line in self.lines if line["kind"] == "machine"]
        best = {key: max(line[key] for line in seen) for key in seen[0]}
        return Shape(**found["shape"]), Machine(**best)

    def first_rollout(self) -> list[float]:
        """Median of three starts with a warm cache, wall seconds."""
        starts = [
            json.loads(_run(OURS, [str(ROOT / "bench" / "first_rollout.py")]).splitlines()[-1])
            for _ in range(3)
        ]
        self._append({"kind": "start", "starts": starts})
        return [statistics.median(start[at]["wall_seconds"] for start in starts) for at in ("begun", "ended")]

    def report(self, cells: Iterable[Cell], shape: Shape, machine: Machine) -> str:
        """Markdown: steps, phases, decoding."""
        rows = [
            f"one core: {machine.flops / 1e9:.0f} GF/s in bf16 products, {machine.bandwidth / 1e9:.1f} GB/s",
            "",
            "| step | tool | CPU seconds, median (min-max) | RSS | TRL / ours | of RSS | least | share |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
        ]
        for cell in cells:
            ours = self._seconds("step", cell.name, "stateset-rl", "bf16")
            floor = sum(least(cell, shape, machine).values())
            for side in STEP:
                seconds = self._seconds("step", cell.name, side.tool, side.dtype)
                if not seconds or not ours:
                    continue
                mine = side.tool == "stateset-rl"
                middle, base = statistics.median(seconds), statistics.median(ours)
                peak = self._peak("step", cell.name, side)
                times = f"{peak / self._peak('step', cell.name, STEP[0]):.1f}"
                last = (
                    ["", "", f"{floor:.1f}", f"{floor / middle:.0%}"]
                    if mine
                    else [f"{middle / base:.1f}", times, "", ""]
                )
                cells_of_row = [cell.name, f"{side.tool}, {side.dtype}", _spread(seconds),
                                f"{peak:.1f} GiB", *last]  # fmt: skip
                rows.append("| " + " | ".join(cells_of_row) + " |")
        return "\n".join([*rows, *self._phases(cells), *self._decoding()])

    def _phases(self, cells: Iterable[Cell]) -> list[str]:
        names = ("prefill", "decode", "reward", "log-probabilities", "forward", "backward", "optimizer",
                 "weight update")  # fmt: skip
        rows = ["", "| phase, CPU seconds | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
        for cell in cells:
            steps = [
                step for line in self._of("step", cell.name, "stateset-rl", "bf16") for step in line["phases"]
            ]
            if steps:
                middles = [statistics.median(step.get(name, 0.0) for step in steps) for name in names]
                rows.append(f"| {cell.name} | " + " | ".join(f"{value:.2f}" for value in middles) + " |")
        return rows

    def _decoding(self) -> list[str]:
        rows = []
        for side in DECODE:
            seconds = self._seconds("decode", Cell().name, side.tool, side.dtype)
            if seconds:
                rate = Cell().group * Cell().new_tokens / statistics.median(seconds)
                rows.append(f"| {side.tool} | {rate:.0f} | {_spread(seconds)} |")
        head = ["", f"| decode, {Cell().name} | tokens a CPU second | CPU seconds |", "|---|---:|---:|"]
        return [*head, *rows] if rows else []

    def _of(self, kind: str, name: str, tool: str, dtype: str) -> list[Line]:
        wanted = {"kind": kind, "cell": name, "tool": tool, "dtype": dtype}
        return [line for line in self.lines if all(line.get(key) == value for key, value in wanted.items())]

    def _seconds(self, kind: str, name: str, tool: str, dtype: str) -> list[float]:
        return [seconds for line in self._of(kind, name, tool, dtype) for seconds in line["cpu_seconds"]]

    def _peak(self, kind: str, name: str, side: Side) -> float:
        return max(line["peak_rss_gib"] for line in self._of(kind, name, side.tool, side.dtype))

    def _check_alike(self, key: Line, found: Line) -> None:
        """Another optimizer, clipping or, with autocast, weight precision would be another step."""
        others = [
            line
            for line in self.lines
            if line["kind"] == "step" == key["kind"] and line["cell"] == key["cell"]
        ]
        for other in others:
            for name in ("optimizer", "max_grad_norm"):
                assert other[name] == found[name], (name, other[name], found[name])
            if "bf16-autocast" in (other["dtype"], found["dtype"]):
                pair = {
                    line["tool"]: line["weights"]
                    for line in (other, found)
                    if line["weights"] != ["torch.bfloat16"]
                }
                assert len({str(weights) for weights in pair.values()}) <= 1, pair

    def _append(self, line: Line) -> None:
        self.lines.append(line)
        with self.out.open("a") as stream:
            stream.write(json.dumps(line) + "\n")


def _run(python: Path, words: list[str]) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def _prepare(side: Side) -> None:
    if side.tool == "TRL" and not TRL.exists():
        subprocess.run([sys.executable, "-m", "venv", TRL.parents[1]], check=True)
        for wanted in (["torch==2.13.0"], ["trl==1.16.*", "datasets", "peft"]):
            subprocess.run([TRL, "-m", "pip", "install", "-q", *wanted], check=True)
    if side.tool == "vLLM" and not VLLM.exists():
        subprocess.run(["make", ".venv-vllm/.stamp"], cwd=ROOT, check=True)


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


if __name__ == "__main__":
    main()
