"""Running code that nobody trusts: one executor a file, each behind `executor.py`'s protocol."""
