"""Names, places and other data that only a language model of the text can find: the extra `pii`.

Not run in this project's tests: presidio downloads a spaCy model at its first start. The code path is real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stateset.rl.data.pii.patterns import Found
from stateset.rl.errors import MissingExtraError

LEAST_SCORE = 0.5
_KINDS = {
    "PERSON": "PERSON",
    "LOCATION": "LOCATION",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP",
    "US_SSN": "SSN",
    "MEDICAL_LICENSE": "ID",
    "US_DRIVER_LICENSE": "ID",
    "US_PASSPORT": "ID",
    "US_BANK_NUMBER": "ID",
}


def presidio_detector(language: str = "en") -> Callable[[str], Iterator[Found]]:
    """A detector for `Pseudonyms`, of the kinds that presidio knows and tickets may hold.

    Raises:
        MissingExtraError: presidio is not installed.
    """
    try:
        from presidio_analyzer import AnalyzerEngine
    except ImportError as error:
        raise MissingExtraError(
            "finding names by a model needs presidio: pip install 'stateset-rl[pii]' and a spaCy model, "
            "python -m spacy download en_core_web_lg"
        ) from error
    engine = AnalyzerEngine()

    def detect(text: str) -> Iterator[Found]:
        results = engine.analyze(
            text=text, language=language, entities=list(_KINDS), score_threshold=LEAST_SCORE
        )
        for found in sorted(results, key=lambda one: (-one.score, one.start)):
            yield Found(found.start, found.end, _KINDS[found.entity_type])

    return detect
