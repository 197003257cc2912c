"""Project files, layers, names and paths."""

from pathlib import Path

import pytest

from stateset.rl.config.dialects import PATHS
from stateset.rl.config.docs import render
from stateset.rl.config.load import PROFILES, list_profiles, load_config, make_config
from stateset.rl.config.schema import Config
from stateset.rl.errors import ConfigError

DOCUMENT = """\
# GRPO Configuration
actor_rollout:
  ref:
    rollout:
      n: 8  # Generate 8 responses per prompt (critical for GRPO)

data:
  train_batch_size: 32  # Number of prompts per batch

actor_rollout_ref:
  actor:
    ppo_mini_batch_size: 256  # Mini-batch for weight updates
    ppo_epochs: 4  # Update epochs per trajectory set
    clip_ratio: 0.2  # GRPO clip range for stable training

    # GRPO-specific settings
    use_kl_loss: true  # Enable KL regularization
    kl_loss_coef: 0.001  # KL penalty strength
    kl_loss_type: "kl"  # Options: kl, abs, mse, low_var_kl, full

    # Loss aggregation
    loss_agg_mode: "token-mean"  # Stable for long responses

algorithm:
  adv_estimator: "grpo"  # Use GRPO instead of GAE
"""
DOCUMENT_VALUES = {
    "rollout_n": 8,
    "batch_size": 32,
    "mini_batch_size": 256,
    "ppo_epochs": 4,
    "clip_ratio": 0.2,
    "use_kl_loss": True,
    "kl_loss_coef": 0.001,
    "kl_loss_type": "kl",
    "loss_agg_mode": "token-mean",
    "adv_estimator": "grpo",
}


@pytest.fixture
def write(tmp_path):
    def write_file(text):
        file = tmp_path / "run.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write_file


def given_values(config):
    return config.model_dump(exclude_unset=True)


def test_the_documents_file(write):
    config = load_config(write(DOCUMENT))
    assert given_values(config) == DOCUMENT_VALUES
    read, warned = config.notices
    assert read == (
        "run.yaml:5: `actor_rollout.ref.rollout.n` is read as rollout_n: 8 responses to each prompt."
    )
    assert "low_var_kl+" in warned


def test_origins_name_the_line(write):
    config = load_config(write(DOCUMENT), overrides=["seed=1"])
    assert config.origins["rollout_n"] == "run.yaml:5"
    assert config.origins["clip_ratio"] == "run.yaml:14"
    assert config.origins["seed"] == "override"
    assert "epochs" not in config.origins


@pytest.mark.parametrize("text", ["rollout.n: 4", "rollout:\n  n: 4", "actor_rollout_ref: {rollout: {n: 4}}"])
def test_rollout_n_has_several_names(write, text):
    config = load_config(write(text))
    assert config.rollout_n == 4
    assert len(config.notices) == 1


def test_nested_names_reach_their_keys():
    values = DOCUMENT_VALUES | {"clip_ratio_low": 0.15, "clip_ratio_high": 0.25}
    nested = {path: values[key] for path, key in PATHS.items()}
    assert given_values(make_config(nested)) == values


def test_two_names_with_two_values_are_refused(write):
    with pytest.raises(
        ConfigError, match=r"run.yaml:2: `rollout_n: 5` contradicts `rollout.n: 4` \(run.yaml:1\)"
    ):
        load_config(write("rollout.n: 4\nrollout_n: 5"))
    assert load_config(write("rollout.n: 4\nrollout_n: 4")).rollout_n == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nrolout_n: 4", r"run.yaml:2: unknown key `rolout_n`; did you mean `rollout_n`\?"),
        ("training:\n  batch_size: 4", r"run.yaml:2: .*`training.batch_size`; did you mean `batch_size`\?"),
        ("actor_rollout_ref:\n  actor:\n    clip_ration: 1", r"run.yaml:3: .*actor.clip_ratio`\?"),
        ("quux: 1", "run.yaml:1: unknown key `quux`; docs/configuration.md"),
        ("data:\n", r"run.yaml:1: unknown key `data`"),
        ("data: {}\n", r"run.yaml:1: unknown key `data`"),
        ("trainer:\n  total_epochs: 3", "run.yaml:2: `trainer.total_epochs` is a verl key"),
        ("data:\n  train_files: a", "run.yaml:2: `data.train_files` is a verl key"),
        ("seed: 1\nseed: 1", r"run.yaml:2: `seed` stands here again \(first in line 1\)"),
        ("data:\n  train_batch_size: 1\n  train_batch_size: 2", "run.yaml:3: `data.train_batch_size` stands"),
        ("seed: 1\nepochs: [", "run.yaml:[23]: "),
        ("seed: &a 1\nepochs: *a", "run.yaml:2: aliases are not supported"),
        ("- seed", "run.yaml: not a list of `key: value` lines"),
        ("max_minutes: 2024-13-01", "month must be in 1..12"),
        ("[" * 5000, "run.yaml:1: nested more than 20 deep"),
        ("seed: !!python/object:os.system x", "run.yaml:1: tags such as .* are not supported"),
        (b"objective: caf\xe9", "UTF-8"),
        ("seed: 1\nepochs: -1", "run.yaml:2: `epochs` is -1: it must be greater than 0"),
        ("kl_loss_coef: 0.1", "run.yaml:1: `kl_loss_coef` has no effect"),
        ("profile: balance", r"unknown profile `balance`; did you mean `balanced`\?"),
        ("profile: []", "unknown profile"),
    ],
)
def test_mistakes_in_a_file_are_named(write, text, message):
    with pytest.raises(ConfigError, match=message):
        load_config(write(text))


def test_an_empty_section_in_python_is_unknown():
    with pytest.raises(ConfigError, match="config: unknown key `data`"):
        make_config({"data": {}})


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"no.yaml: cannot be read \(No such file"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path)


def test_numbers_without_a_dot_are_numbers(write):
    assert load_config(write("learning_rate: 1e-6")).learning_rate == 1e-6
    assert load_config(write("learning_rate: 2E-6")).learning_rate == 2e-6
    assert load_config(write("learning_rate: 1.5e-6")).learning_rate == 1.5e-6
    assert load_config(write("objective: 1e-6 or 'x'")).objective == "1e-6 or 'x'"


def test_an_empty_file_is_all_defaults(write):
    assert load_config(write("# nothing\n")) == Config()


def test_overrides_win_over_file_over_profile(write):
    file = write("profile: conservative\nppo_epochs: 3\nseed: 1\n")
    config = load_config(file, overrides=["seed=2", "rollout.n=6", "betas=[0.9, 0.95]", "learning_rate=1e-5"])
    assert (config.clip_ratio, config.ppo_epochs, config.seed, config.rollout_n) == (0.1, 3, 2, 6)
    assert (config.betas, config.learning_rate) == ((0.9, 0.95), 1e-5)
    assert config.origins["clip_ratio"] == "profile conservative"
    assert config.origins["ppo_epochs"] == "run.yaml:2"


def test_which_profile_wins(write):
    file = write("profile: conservative")
    assert load_config(file).clip_ratio == 0.1
    assert load_config(file, overrides=["profile=quick"]).max_steps == 10
    assert load_config(file, overrides=["profile=quick"], profile="memory").lora is True
    assert make_config({"profile": "quick"}) == make_config(profile="quick")
    assert make_config({"profile": None}) == Config()


@pytest.mark.parametrize("text", ["seed", "=3", "seed=[", "max_minutes=2024-13-01", "seed=*a"])
def test_broken_overrides(text):
    with pytest.raises(ConfigError, match="override `"):
        make_config(overrides=[text])


def test_two_overrides_of_one_key_contradict():
    with pytest.raises(ConfigError, match="both set seed"):
        make_config(overrides=["seed=1", "seed=2"])


def test_paths_of_a_file_start_at_its_folder(write, tmp_path, monkeypatch):
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    (tmp_path / "my-model").mkdir()
    file = write("dataset: data/a.jsonl\neval_dataset: /b.jsonl\noutput_dir: runs/x\nmodel: my-model")
    config = load_config(Path("..") / file.name)
    assert config.dataset == str(tmp_path / "data/a.jsonl")
    assert config.eval_dataset == "/b.jsonl"
    assert config.output_dir == str(tmp_path / "runs/x")
    assert config.model == str(tmp_path / "my-model")
    assert config.folder.resolve() == tmp_path

    config = load_config(file, overrides=["dataset=c.jsonl", "model=org/my-model"])
    assert (config.dataset, config.model) == (str(here / "c.jsonl"), "org/my-model")
    config = make_config({"dataset": Path("c.jsonl"), "output_dir": "~/runs"})
    assert config.dataset == str(here / "c.jsonl")
    assert config.output_dir == str(Path.home() / "runs")
    assert config.folder == here


def test_loading_imports_nothing_of_the_users(write, tmp_path, monkeypatch):
    (tmp_path / "my_reward.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_config(write("reward: my_reward:Reward")).reward == "my_reward:Reward"


def test_profiles():
    assert list_profiles() == ("aggressive", "balanced", "conservative", "memory", "quick")
    assert given_values(make_config(profile="balanced")) == DOCUMENT_VALUES | {"kl_loss_type": "low_var_kl+"}
    assert given_values(make_config(profile="conservative")) == {
        "clip_ratio": 0.1,
        "kl_loss_coef": 0.01,
        "ppo_epochs": 2,
        "rollout_n": 4,
        "use_kl_loss": True,
    }
    for name in list_profiles():
        assert make_config(profile=name).notices == ()
        assert all("#" in line for line in (PROFILES / f"{name}.yaml").read_text().splitlines())


def test_the_documentation_is_up_to_date():
    page = Path(__file__).parent.parent / "docs" / "configuration.md"
    assert page.read_text() == render(), "run: python -m stateset.rl.config.docs > docs/configuration.md"


def test_the_documentation_tells_types_and_needs():
    lines = render().splitlines()
    assert (
        "| `rollout_n` | integer >= 2 and <= 4096 | `8` | Responses to each prompt; their mean is the "
        "baseline, so at least two. |"
    ) in lines
    assert any(line.startswith("| `clip_ratio_low` | number > 0 and <= 1, null | `null` |") for line in lines)
    assert any(line.startswith("| `kl_loss_coef`") and "Needs `use_kl_loss: true`." in line for line in lines)
    assert all(f"| `{key}` |" in render() for key in Config.model_fields)
