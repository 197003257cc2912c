"""How alike two texts are, in [0, 1]: the measures of OpenAI's `text_similarity` grader (extra `[graders]`).

Published are only their names, and that `fuzzy_match` is rapidfuzz's. Here: its `WRatio` on texts in lower
case without punctuation, as in the published example; NLTK's sentence BLEU (smoothing method 1), GLEU and
METEOR on words split at blanks; the F measure of Google's rouge-score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from stateset.rl.errors import ConfigError, MissingExtraError

_ADVICE = "text similarity needs {}: pip install 'stateset-rl[graders]'"


def similarity(metric: str) -> Callable[[str, str], float]:
    """The measure of that name: (input, reference) -> [0, 1].

    Raises:
        ConfigError: there is none of that name.
        MissingExtraError: its package is not installed.
    """
    if metric == "cosine":
        raise ConfigError(
            "the metric cosine embeds texts with a model of OpenAI's and was never part of fine-tuning: take "
            "fuzzy_match, bleu, gleu, meteor or rouge_l"
        )
    make = _MEASURES.get(metric)
    if make is None:
        raise ConfigError(f"there is no metric {metric!r}: take one of {', '.join(_MEASURES)}")
    try:
        return make()
    except ModuleNotFoundError as error:
        raise MissingExtraError(_ADVICE.format(error.name)) from error


def _fuzzy() -> Callable[[str, str], float]:
    from rapidfuzz import fuzz, utils

    return lambda text, reference: fuzz.WRatio(text, reference, processor=utils.default_process) / 100


def _bleu() -> Callable[[str, str], float]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method1
    return lambda text, reference: float(
        sentence_bleu([reference.split()], text.split(), smoothing_function=smooth)
    )


def _gleu() -> Callable[[str, str], float]:
    from nltk.translate.gleu_score import sentence_gleu

    return lambda text, reference: float(sentence_gleu([reference.split()], text.split()))


def _meteor() -> Callable[[str, str], float]:
    from nltk.corpus import wordnet
    from nltk.translate.meteor_score import meteor_score

    try:
        wordnet.ensure_loaded()
    except LookupError as error:
        raise MissingExtraError("meteor needs WordNet: python -m nltk.downloader wordnet") from error
    return lambda text, reference: float(meteor_score([reference.split()], text.split()))


def _rouge(kind: str) -> Callable[[str, str], float]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind])
    return lambda text, reference: float(scorer.score(reference, text)[kind].fmeasure)


_MEASURES: Mapping[str, Callable[[], Callable[[str, str], float]]] = {
    "fuzzy_match": _fuzzy,
    "bleu": _bleu,
    "gleu": _gleu,
    "meteor": _meteor,
    **{f"rouge_{n}": partial(_rouge, f"rouge{n}") for n in (1, 2, 3, 4, 5)},
    "rouge_l": partial(_rouge, "rougeL"),
}
