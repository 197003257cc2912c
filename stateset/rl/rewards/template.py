"""`{{ item.x }}` and `{{ sample.y }}` in texts, as OpenAI's graders have them: values by a path, no more."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from stateset.rl.errors import ConfigError

NAMESPACES = ("item", "sample")
_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"(item|sample)((?:\.[\w-]+|\[\d+\]|\[\"[^\"\]]*\"\]|\['[^'\]]*'\])+)")
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]|\[\"([^\"\]]*)\"\]|\['([^'\]]*)'\]")


class MissingValueError(LookupError):
    """Nothing stands at a path; `namespace` says whose fault that is: the row's or the response's."""

    def __init__(self, path: str, namespace: str) -> None:
        super().__init__(f"there is no {path}")
        self.namespace = namespace


class Template:
    """A text with places to fill.

    Raises:
        ConfigError: a place is no path into `item` or `sample`.
    """

    def __init__(self, text: str) -> None:
        self._texts: list[str] = []
        self._paths: list[str] = []
        at = 0
        for place in _PLACE.finditer(text):
            path = place[1].strip()
            if _PATH.fullmatch(path) is None:
                raise ConfigError(
                    f"the template {place[0]!r} is no path: write {{{{ item.column }}}} or "
                    "{{ sample.output_text }}, with .name or [0] for what lies inside"
                )
            self._texts.append(text[at : place.start()])
            self._paths.append(path)
            at = place.end()
        self._end = text[at:]

    def fill(self, values: Mapping[str, Any]) -> str:
        """The text with every place filled; what is no text is written as JSON.

        Raises:
            MissingValueError: nothing stands at a path.
        """
        filled = (
            text + _written(_at(path, values)) for text, path in zip(self._texts, self._paths, strict=True)
        )
        return "".join(filled) + self._end


def _at(path: str, values: Mapping[str, Any]) -> Any:
    namespace, steps = _PATH.fullmatch(path).groups()  # type: ignore[union-attr]
    value: Any = values[namespace]
    for step in _STEP.finditer(steps):
        name, index = step[1] or step[3] or step[4], step[2]
        inside = isinstance(value, Sequence) and not isinstance(value, str)
        if index is not None and inside and int(index) < len(value):
            value = value[int(index)]
        elif name is not None and isinstance(value, Mapping) and name in value:
            value = value[name]
        else:
            raise MissingValueError(path, namespace)
    return value


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
