#!/usr/bin/env bash
# From a help desk's export to a model in production: `make tour`, or `run.sh FOLDER` with stateset-rl on the PATH.
set -euo pipefail
out=$(realpath -m "${1:?give a folder for what the tour writes}")
cd "$(dirname "$0")"
export STATESET_RL_HOME="$out/registry"
mkdir -p "$out"

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

run python export.py --out "$out/export"
run stateset-rl data import zendesk "$out/export/tickets.json" "$out/export/users.json" -o "$out/rows.jsonl"
run python join.py "$out/rows.jsonl" "$out/export/orders.jsonl" -o "$out/joined.jsonl"
if [ ! -e "$out/prepared" ]; then
    run stateset-rl data prepare "$out/joined.jsonl" -o "$out/prepared" --min-quality-score 0.8 \
        --validation-share 0.07 --test-share 0.135
fi
run stateset-rl reward check reward:PolicyReward --data "$out/prepared/train.jsonl" --html "$out/reward-check.html"

if compgen -G "$out/run/checkpoints/step_*" > /dev/null; then
    run stateset-rl train --resume "$out/run"
else
    rm -rf "$out/run" # stopped in its warm start: nothing to go on from
    run stateset-rl train project.yaml dataset="$out/prepared/train.jsonl" \
        eval_dataset="$out/prepared/validation.jsonl" warm_start.rows="$out/prepared/train.jsonl" output_dir="$out/run"
fi

run stateset-rl compare smollm2-135m "$out/run/best" --data "$out/prepared/test.jsonl" --success reward:audited \
    --training-data "$out/prepared/train.jsonl" --max-new-tokens 56 --general --latency 8 -o "$out/evaluation"
verdict=0
run stateset-rl gate "$out/evaluation" --criteria criteria.yaml --out "$out/evidence.json" || verdict=$?
if [ $verdict = 0 ]; then
    run stateset-rl registry deploy "$out/run/best" --evaluation "$out/evaluation" --criteria criteria.yaml
    run stateset-rl generate production "Where is my parcel?"
else
    printf '\nThe gate is closed, so nothing went into production; the reasons stand above.\n'
fi
printf '\npages\n  %s\n' "$out/prepared/report.html" "$out/reward-check.html" "$out/evaluation/report.html"
printf '\nCPU time, user and system: of this script, of its commands\n'
times
exit $verdict
