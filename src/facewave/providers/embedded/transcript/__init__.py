"""Known words: where the text of a recording is given, its phones are timed and the mouth follows them by rule.

`words.py` turns text into sounds (with `pronounce.py`); `sphinx.py` and `head.py` (with `viterbi.py`) are two aligners
with one result (`alignment.py`); `coarticulation.py` moves the mouth through timed phones; `session.py` puts it behind
the session protocol. The training uses the same rules as the truth the network learns.
"""
