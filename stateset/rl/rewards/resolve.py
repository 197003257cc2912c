"""Find a reward by the name that a project file gives it, without importing anything else.

`package.module:Name` is looked for below the project's folder only, or among the installed entry points
of the groups `stateset_rl.*`. What it names must be a reward on purpose: a `RewardFunction`, or marked
with `@reward`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from stateset.rl.errors import ConfigError
from stateset.rl.rewards.failure import describe_failure
from stateset.rl.rewards.reward import RewardFunction, is_reward
from stateset.rl.verifiers.verifier import Verifier, is_verifier

_NAME = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*)")
_BASES = (RewardFunction, Verifier)
_entered: set[Path] = set()  # the project's folder, where it was not on sys.path before


def resolve_reward(
    name: str, project_dir: Path, accepts: Callable[[object], bool] = is_reward, kind: str = "reward"
) -> tuple[Any, Path]:
    """Return the reward called `name`, instantiated if it is a class, and the file that defines it.

    The folder is appended to `sys.path` (an earlier project's is taken off), so that the reward's module can
    import its neighbours, in the worker process too. What the module prints meanwhile goes to stderr.

    Args:
        name: `package.module:Name`.
        project_dir: below which it is looked for.
        accepts: which objects may be named; `is_judge_of_success` lets verifiers in, too.
        kind: what messages call it.

    Raises:
        ConfigError: a malformed name; no such file or object; outside the folder; not marked as a reward; a
            module that fails when imported, or a class when instantiated; `sys.exit` is a failure too.
    """
    match, what = _NAME.fullmatch(name), f"{kind} {name!r}"
    if match is None:
        raise ConfigError(f"{what} is no name of the form package.module:Name, such as rewards:ServiceReward")
    points = importlib.metadata.entry_points(value=name)
    if any(point.group.startswith("stateset_rl.") for point in points):
        module = _imported(match["module"], what)
        return _reward(module, match["attribute"], what, accepts), Path(module.__file__ or "")
    folder = project_dir.resolve()
    path = _module_file(match["module"], folder, what)
    _enter(folder)
    _refuse_namesake(match["module"], folder, what)
    return _reward(_imported(match["module"], what), match["attribute"], what, accepts), path


def resolve_verifier(given: Any, project_dir: Path) -> Any:
    """Return the verifier of this name, as `resolve_reward` finds it; what is no name is returned as it is.

    Raises:
        ConfigError: as there; or it is neither a `Verifier` nor marked with `@verifier`.
    """
    if not isinstance(given, str):
        return given
    return resolve_reward(given, project_dir, is_verifier, "verifier")[0]


def is_judge_of_success(value: object) -> bool:
    """Whether `value` can say which answers are right: a reward, or a verifier that is marked."""
    return is_reward(value) or is_verifier(value)


_WANTED: dict[Callable[[object], bool], str] = {
    is_reward: "a RewardFunction nor marked with @reward",
    is_verifier: "a Verifier nor marked with @verifier",
    is_judge_of_success: "a RewardFunction nor marked with @reward or @verifier",
}


def _enter(folder: Path) -> None:
    """Make one project importable, and forget the modules of the one before."""
    for other in _entered - {folder}:
        sys.path[:] = [path for path in sys.path if path != str(other)]
        for key, module in list(sys.modules.items()):
            if getattr(module, "__file__", None) in [str(path) for path in _candidates(key, other)]:
                del sys.modules[key]
        _entered.remove(other)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        _entered.add(folder)
    importlib.invalidate_caches()


def _refuse_namesake(module: str, folder: Path, what: str) -> None:
    """Refuse a name that Python would find elsewhere, before anything of it is imported."""
    top = module.partition(".")[0]
    ours = {path.resolve() for path in (folder / top, *_candidates(top, folder))}
    on_path = {str(Path(entry).resolve()) for entry in sys.path}
    try:
        places = _places(importlib.util.find_spec(top))
    except ValueError:  # a loaded module without a spec, such as __main__
        places = []
    if places and not ours & {*places} and not on_path & {str(place.parent) for place in places}:
        for key in [key for key in sys.modules if key.partition(".")[0] == top]:
            del sys.modules[key]  # of a project that is no longer on the path
        places = _places(PathFinder.find_spec(top))
    if not ours & {*places}:
        where = ", ".join(map(str, places)) or "loaded"
        raise ConfigError(
            f"{what}: Python already has a module called {top} ({where}), which hides the one in "
            f"{folder}: rename yours"
        )


def _places(spec: ModuleSpec | None) -> list[Path]:
    """Where a module lies: its folder if it is a package, its file."""
    if spec is None:
        return []
    files = [spec.origin] if spec.has_location and spec.origin else []
    return [Path(place).resolve() for place in (*(spec.submodule_search_locations or []), *files)]


def _module_file(module: str, folder: Path, what: str) -> Path:
    """The file of `module` below `folder`, links followed."""
    candidates = _candidates(module, folder)
    found = next((path.resolve() for path in candidates if path.is_file()), None)
    if found is None:
        raise ConfigError(
            f"{what}: there is no {candidates[0].relative_to(folder)} in the project's folder "
            f"{folder}; a reward is looked for there and among installed stateset_rl entry points"
        )
    if not found.is_relative_to(folder):
        raise ConfigError(f"{what}: {found} lies outside the project's folder {folder}: copy it inside")
    return found


def _candidates(module: str, folder: Path) -> tuple[Path, Path]:
    """Where `folder` on `sys.path` would hold a module: as a file, as a package."""
    stem = folder.joinpath(*module.split("."))
    return stem.with_name(f"{stem.name}.py"), stem / "__init__.py"


def _imported(module: str, what: str) -> ModuleType:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is the command's, which may print JSON there
            return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{what}: importing its module failed: {describe_failure(error)}") from error


def _reward(module: ModuleType, attribute: str, what: str, accepts: Callable[[object], bool]) -> Any:
    found = getattr(module, attribute, None)
    if not accepts(found):
        marked = sorted(key for key, value in vars(module).items() if accepts(value) and value not in _BASES)
        wrong = "does not exist" if found is None else f"is neither {_WANTED[accepts]}"
        mark = "@verifier" if accepts is is_verifier else "@reward"
        raise ConfigError(
            f"{what}: {attribute} {wrong} in {module.__file__}; "
            + (f"there are: {', '.join(marked)}" if marked else f"mark a function there with {mark}")
        )
    if not isinstance(found, type):
        return found
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return found()
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{what}: {attribute}() failed: {describe_failure(error)}. A project file names an "
            "object, or a class that needs no arguments"
        ) from error
