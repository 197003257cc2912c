"""Curves from a real tiny run and from written ones: what is shown by hand, then that it is drawn."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from trainer_rewards import parts

from stateset.rl.cli import main
from stateset.rl.errors import ConfigError, DataError, MissingExtraError
from stateset.rl.tracking import plot
from stateset.rl.tracking.curves import MAX_PARTS, Line, Panel, make_panels, running_mean, window
from stateset.rl.tracking.plot import plot_curves

NAN = math.nan
Lines = Sequence[Mapping[str, Any]]


def write_run(folder: Path, metrics: Lines = (), evaluations: Lines = ()) -> Path:
    (folder / "eval").mkdir(parents=True)
    (folder / "manifest.json").write_text('{"status": "finished", "model": "org/small"}')
    for name, lines in (("metrics.jsonl", metrics), ("eval/summary.jsonl", evaluations)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def step(number: int, **extra: float | None) -> dict[str, Any]:
    return {
        "step": number,
        "reward": number / 10,
        "frac_reward_zero_std": 0.375,
        "signal/all_right": 0.25,
        "signal/all_wrong": 0.125,
        "completions/mean_length": 40.0 - number,
        "rewards/polite/mean": 0.5,
        **extra,
    }


def size_of(png: Path) -> tuple[int, int]:
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def by_label(panel: Panel) -> dict[str, Line]:
    return {line.label: line for line in panel.lines}


def finite(values: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values]


def test_running_mean_by_hand() -> None:
    assert running_mean([1, 2, 6, 4], 2) == [1.0, 1.5, 4.0, 5.0]
    assert running_mean([1, 2, 6, 4], 1) == [1, 2, 6, 4]
    assert finite(running_mean([NAN, 2, NAN, NAN, 4], 2)) == [None, 2.0, 2.0, None, 4.0]
    assert [window(n) for n in (0, 5, 6, 39, 40, 60, 1000)] == [1, 1, 3, 3, 4, 6, 20]


def test_the_panels_hold_what_the_files_say() -> None:
    metrics = [step(n, entropy=2.0, kl=n / 100) for n in range(1, 7)]
    evaluations = [
        {"step": 0, "reward": None, "parts": {"polite": 0.1}},
        {"step": 6, "reward": 0.9, "parts": {"polite": 0.3, "exact": 1.0}},
    ]
    reward, reward_parts, groups, length = make_panels(metrics, evaluations)
    lines = by_label(reward)
    assert list(lines) == ["training step", "mean of 3 steps", "held-out"]
    assert lines["training step"].values == pytest.approx((0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    assert lines["mean of 3 steps"].values == pytest.approx((0.1, 0.15, 0.2, 0.3, 0.4, 0.5))
    assert lines["held-out"].steps == (0, 6)
    assert finite(lines["held-out"].values) == [None, 0.9]

    shown = [(line.label, line.kind, line.color, line.values[-1]) for line in reward_parts.lines]
    assert shown == [
        ("polite", "line", 0, 0.5),
        ("", "held-out", 0, 0.3),  # the same colour; the training line is in the legend
        ("exact (held-out)", "held-out", 1, 1.0),
    ]
    assert {line.label: line.values[-1] for line in groups.lines} == {
        "rewards differ (signal)": 0.625,
        "all right": 0.25,
        "all wrong": 0.125,
    }
    assert groups.bounds == (0.0, 1.0)
    assert (length.title, length.right_unit) == ("Response length, entropy, KL", "nats a token")
    assert [line.right for line in length.lines] == [False, True, True]
    assert by_label(length)["KL (right axis)"].values[-1] == pytest.approx(0.05)  # of 0.04, 0.05, 0.06


def test_what_was_not_logged_is_left_out() -> None:
    (only,) = make_panels([], [{"step": 0, "reward": 0.4}])
    assert [(line.label, line.steps, line.values) for line in only.lines] == [("held-out", (0,), (0.4,))]
    assert make_panels([{"step": 1, "reward": None}], []) == ()
    nats = make_panels([{"step": 1, "kl": 0.1}], [])[0]
    assert (nats.title, nats.unit, nats.right_unit) == ("KL", "nats a token", "")
    assert not nats.lines[0].right


def test_more_parts_than_colours_are_said() -> None:
    metrics = [{"step": 1, **{f"rewards/part{i}/mean": 0.5 for i in range(9)}}]
    (panel,) = make_panels(metrics, [])
    assert len(panel.lines) == MAX_PARTS == len(plot._PALETTE)
    assert "the first 7 of 9" in panel.title


def pixels(png: Path) -> Any:
    """[height, width, 3] of 0 to 255."""
    from matplotlib.image import imread

    return (imread(png)[..., :3] * 255).round().astype(int)


def count_color(png: Path, color: str) -> int:
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((pixels(png) == wanted).all(axis=-1).sum())


def test_a_whole_run_is_drawn_in_its_colours(tmp_path: Path) -> None:
    metrics = [step(n, entropy=2.0) for n in range(1, 61)]
    run = write_run(tmp_path / "run", metrics, [{"step": s, "reward": 0.5} for s in (0, 30, 60)])
    picture = plot_curves(run)
    assert picture == run / "curves.png"
    assert size_of(picture) == (1200, 800)
    blue, vermillion = plot._PALETTE[:2]
    assert count_color(picture, blue) > 500
    assert count_color(picture, vermillion) > 200
    # Bands of one panel: five, two and one eighth of the groups
    bands = [count_color(picture, plot._tint(plot._PALETTE[color])) for color in (0, 2, 1)]
    assert bands[0] > 20_000
    assert bands[1] / bands[0] == pytest.approx(2 / 5, abs=0.03)
    assert bands[2] / bands[0] == pytest.approx(1 / 5, abs=0.03)
    assert (pixels(picture)[0, 0] == 255).all()


def test_names_are_neither_mathematics_nor_hidden() -> None:
    assert plot._plain("_private $x$") == r" _private \$x\$"  # older matplotlib leaves "_" out of legends


def test_tint_by_hand() -> None:
    assert plot._tint("#000000", 0.7) == "#4C4C4C"  # 255 - 0.7 * 255 = 76.5, to even
    assert plot._tint("#FF0000", 1.0) == "#FF0000"


@pytest.mark.parametrize(
    ("metrics", "evaluations"),
    [
        ([step(1)], []),  # a single step
        ([], [{"step": 0, "reward": 0.4}]),  # an evaluation before the first step
        ([step(1), step(2)], [{"step": 0, "reward": None}]),
        ([{"step": 1, "reward": 0.5}, {"step": 2, "reward": None}], []),
        ([{"step": 3, "kl": 0.1}, {"step": 9, "kl": 0.2}], []),
        ([{"step": 1, "reward": 0.5, "kl": 0.1}], []),  # two panels
        ([{"step": 1, "reward": 0.5, "kl": 0.1, "rewards/a/mean": 1}], []),  # three
        ([step(1, **{"rewards/_private $x$/mean": 0.5, f"rewards/{'long' * 20}/mean": 0.5})], []),
    ],
)
def test_few_and_odd_series_still_draw_without_a_warning(tmp_path: Path, metrics, evaluations) -> None:
    run = write_run(tmp_path / "a $run$", metrics, evaluations)
    assert size_of(plot_curves(run, tmp_path / "out.png")) == (1200, 800)
    assert not (run / "curves.png").exists()


def test_nothing_to_draw_and_nowhere_to_write_are_said(tmp_path: Path) -> None:
    empty = write_run(tmp_path / "empty")
    with pytest.raises(DataError, match="empty has nothing to draw yet"):
        plot_curves(empty)
    with pytest.raises(ConfigError, match="holds no run"):
        plot_curves(tmp_path / "none")
    run = write_run(tmp_path / "run", [step(1)])
    for place in (tmp_path, tmp_path / "no" / "a.png"):
        with pytest.raises(ConfigError, match="name a file in a folder that is there"):
            plot_curves(run, place)
    (run / "eval" / "summary.jsonl").write_text('{"reward": 1}\n')
    with pytest.raises(DataError, match=r"summary.jsonl:1 is damaged"):
        plot_curves(run)


def test_without_matplotlib_the_message_holds_the_pip_command(tmp_path: Path, monkeypatch) -> None:
    for loaded in [m for m in sys.modules if m.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stateset-rl\[train\]'"):
        plot_curves(write_run(tmp_path / "run", [step(1)]))
    assert not (tmp_path / "run" / "curves.png").exists()


def test_drawing_needs_no_pyplot_and_importing_no_matplotlib(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [step(1)])
    code = (
        "import sys, pathlib\n"
        "from stateset.rl.tracking.plot import plot_curves\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"plot_curves(pathlib.Path({str(run)!r}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_curves_of_a_real_run(tiny_llama: Path, tmp_path: Path, capsys) -> None:
    from stateset.rl.trainer import GRPOTrainer

    out = tmp_path / "run"
    config = {
        "rollout_n": 2,
        "batch_size": 2,
        "max_response_length": 6,
        "device": "cpu",
        "dtype": "fp32",
        "use_kl_loss": True,
        "eval_every": 1,
        "output_dir": str(out),
    }
    trainer = GRPOTrainer(model=str(tiny_llama), reward_function=parts, config=config)
    trainer.train([{"prompt": f"hello {i}"} for i in range(4)], eval_dataset=[{"prompt": "good night"}])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["runs", "plot", str(out)])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{out / 'curves.png'}\n"
    assert size_of(out / "curves.png") == (1200, 800)
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    evaluations = [json.loads(line) for line in (out / "eval" / "summary.jsonl").read_text().splitlines()]
    panels = make_panels(metrics, evaluations)
    assert [len(panel.lines) for panel in panels] == [3, 4, 3, 3]  # every name is still the recorder's
    assert {line.label for line in panels[1].lines} == {"vowels", "capitals", ""}


def test_the_command_says_what_is_wrong_and_where_the_picture_is(tmp_path: Path, capsys) -> None:
    run = write_run(tmp_path / "run", [step(1)])
    with pytest.raises(SystemExit) as ended:
        main(["runs", "plot", str(run), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out) == {"picture": str(run / "curves.png")}
    for arguments, message in (
        (["plot"], "`runs plot` needs a run"),
        (["plot", str(tmp_path)], "holds no run"),
        (["plot", str(write_run(tmp_path / "empty"))], "nothing to draw yet"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["runs", *arguments])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
