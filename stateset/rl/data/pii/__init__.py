"""Personal data out of tickets: what is known of their people, and patterns with checks, as placeholders."""

from __future__ import annotations

from stateset.rl.data.pii.pseudonyms import Pseudonyms, pii_density, pseudonymise_rows

__all__ = ["Pseudonyms", "pii_density", "pseudonymise_rows"]
