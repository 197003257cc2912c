"""Rewards named in a project file."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys

import pytest
from fixtures_rewards.build import group

from stateset.rl.errors import ConfigError
from stateset.rl.rewards import resolve
from stateset.rl.rewards.resolve import resolve_reward, resolve_verifier
from stateset.rl.rewards.score import RewardScorer

MODULE = """
import neighbour_of_rewards
from stateset.rl.rewards.reward import RewardFunction, reward

class Mine(RewardFunction):
    def compute(self, prompt, response, context):
        return neighbour_of_rewards.VALUE

class NeedsWeights(RewardFunction):
    def __init__(self, weights):
        pass

class Other:
    def compute(self, prompt, response, context):
        return 1.0

ready = Mine()

@reward
def marked(response):
    return 2.0

def unmarked(response):
    return 3.0
"""


CHECKS = """
from stateset.rl.verifiers.text import Exact
from stateset.rl.verifiers.verifier import verifier

exact = Exact()

@verifier
def long(question, answer):
    return len(answer) > 3
"""


@pytest.fixture(autouse=True)
def _clean_imports(monkeypatch):
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(resolve, "_entered", set())
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "my_rewards.py").write_text(MODULE)
    (tmp_path / "neighbour_of_rewards.py").write_text("VALUE = 5.0\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "inner.py").write_text(MODULE)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file", "total"),
    [
        ("my_rewards:Mine", "my_rewards.py", 5.0),
        ("my_rewards:ready", "my_rewards.py", 5.0),
        ("my_rewards:marked", "my_rewards.py", 2.0),
        ("pack.inner:Mine", "pack/inner.py", 5.0),
    ],
)
def test_a_reward_is_found_and_travels(project, name, file, total):
    found, path = resolve_reward(name, project)
    assert path == project / file
    with RewardScorer(found) as scorer:
        assert scorer.notice is None
        assert [score.total for score in scorer.score([group("a")])[0].scores] == [total]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("my_rewards:Other", "neither a RewardFunction nor marked with @reward"),
        ("my_rewards:unmarked", "there are: Mine, NeedsWeights, marked, ready"),
        ("my_rewards:Mnie", "Mnie does not exist"),
        ("my_rewards:RewardFunction", None),
        ("my_rewards:NeedsWeights", "weights"),
        ("my_rewards", "package.module:Name"),
        ("../my_rewards:Mine", "package.module:Name"),
        ("my_rewards:Mine.compute", "package.module:Name"),
        ("yours:Mine", "there is no yours.py in the project's folder"),
        ("os:system", "there is no os.py"),
        ("stateset.rl.rewards.reward:RewardFunction", "there is no stateset/rl/rewards/reward.py"),
    ],
)
def test_other_names_are_refused(project, name, says):
    if says is None:  # the base class itself is importable but does nothing: the scorer refuses it
        with pytest.raises(ConfigError, match="compute"):
            RewardScorer(resolve_reward(name, project)[0])
        return
    with pytest.raises(ConfigError) as refusal:
        resolve_reward(name, project)
    assert says in str(refusal.value)


def test_a_verifier_is_found_like_a_reward_and_told_from_one(project):
    (project / "checks.py").write_text(CHECKS)
    assert resolve_verifier(None, project) is None
    assert resolve_verifier("checks:long", project)("", "four")
    assert resolve_verifier("checks:exact", project)("", "x", {"answer": "x"})
    with pytest.raises(ConfigError, match="verifier 'my_rewards:marked': marked is neither a Verifier nor"):
        resolve_verifier("my_rewards:marked", project)
    with pytest.raises(ConfigError, match=r"verifier 'checks:none': none does not exist.*exact, long"):
        resolve_verifier("checks:none", project)


@pytest.mark.parametrize("module", ["json", "sys", "pytest"])
def test_a_namesake_of_an_installed_module_is_refused(project, module):
    (project / f"{module}.py").write_text(MODULE)
    with pytest.raises(ConfigError, match=f"already has a module called {module}.*rename yours"):
        resolve_reward(f"{module}:Mine", project)


def test_a_link_out_of_the_folder_is_refused(project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("elsewhere") / "real.py"
    outside.write_text("raise SystemExit('imported')\n")
    (project / "linked.py").symlink_to(outside)
    with pytest.raises(ConfigError, match="outside the project's folder"):
        resolve_reward("linked:Mine", project)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1\nimport nothing_of_this_name\n", "ModuleNotFoundError: .*broken.py:2"),
        ("def f(:\n", "SyntaxError: .*broken.py:1"),
        ("raise SystemExit(3)\n", "SystemExit: 3 .*broken.py:1"),
    ],
)
def test_a_module_that_fails_is_named_with_its_line(project, source, says):
    (project / "broken.py").write_text(source)
    with pytest.raises(ConfigError, match=says):
        resolve_reward("broken:Mine", project)


@pytest.mark.parametrize("statement", ["sys.exit(0)", "raise ValueError('no')"])
def test_a_class_that_fails_when_made_is_named_with_its_line(project, statement):
    source = (
        f"import sys\n{MODULE}\nclass Ends(RewardFunction):\n    def __init__(self):\n        {statement}\n"
    )
    (project / "my_rewards.py").write_text(source)
    line = len(source.splitlines())
    with pytest.raises(ConfigError, match=rf"Ends\(\) failed: .*my_rewards\.py:{line}\)"):
        resolve_reward("my_rewards:Ends", project)


def test_what_a_reward_prints_when_loaded_goes_to_stderr(project, capsys):
    talks = "print('imported')\nclass Talks(Mine):\n    def __init__(self):\n        print('made')\n"
    (project / "my_rewards.py").write_text(MODULE + talks)
    resolve_reward("my_rewards:Talks", project)
    assert capsys.readouterr() == ("", "imported\nmade\n")


def test_two_projects_may_use_the_same_names(project, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "my_rewards.py").write_text(MODULE)
    (other / "neighbour_of_rewards.py").write_text("VALUE = 7.0\n")
    assert resolve_reward("my_rewards:Mine", project)[0].compute("", "", {}) == 5.0
    assert resolve_reward("my_rewards:Mine", other)[0].compute("", "", {}) == 7.0
    assert resolve_reward("my_rewards:Mine", project)[0].compute("", "", {}) == 5.0
    assert str(other) not in sys.path


def test_a_loaded_namesake_of_a_folder_inside_is_never_taken(project, monkeypatch):
    inner = project / "demo"
    inner.mkdir()
    for name in ("my_rewards.py", "neighbour_of_rewards.py"):
        (inner / name).write_text((project / name).read_text())
    monkeypatch.syspath_prepend(str(inner))
    importlib.import_module("my_rewards")
    with pytest.raises(ConfigError, match=r"Python already has a module called my_rewards .*demo"):
        resolve_reward("my_rewards:Mine", project)
    sys.path.remove(str(inner))  # the module stays loaded
    resolve_reward("my_rewards:Mine", project)
    assert sys.modules["my_rewards"].__file__ == str(project / "my_rewards.py")


def test_an_installed_entry_point_is_found(project, monkeypatch):
    value = "stateset.rl.rewards.service:CustomerServiceReward"
    points = [importlib.metadata.EntryPoint(name="service", value=value, group="stateset_rl.rewards")]
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda **given: points if given == {"value": value} else []
    )
    found, path = resolve_reward(value, project)
    assert type(found).__name__ == "CustomerServiceReward"
    assert path.name == "service.py"
    points[0] = importlib.metadata.EntryPoint(name="service", value=value, group="console_scripts")
    with pytest.raises(ConfigError, match="there is no"):
        resolve_reward(value, project)
