"""A disk that is full at the checkpoint, for real: the process may not write a file larger than a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from stateset.rl.cli import main
main(sys.argv[1:])
"""


def test_a_full_disk_at_the_checkpoint(tiny_llama: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"prompt": "hello {i}"}}\n' for i in range(4)))
    (tmp_path / "reward.py").write_text(
        "from stateset.rl import reward\n"
        "@reward\ndef count(response):\n    return float(response.count('e'))\n"
    )
    (tmp_path / "project.yaml").write_text(
        f"model: {tiny_llama}\ndataset: rows.jsonl\nreward: reward:count\noutput_dir: run\nbatch_size: 2\n"
        "rollout_n: 2\nmax_response_length: 6\ndevice: cpu\ndtype: fp32\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "train", "project.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, "the model itself has room"
    assert "Traceback" not in done.stderr
    assert "warning: checkpoint" in done.stderr
    assert "training goes on without this checkpoint" in " ".join(done.stderr.split())
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "finished"
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2
