"""Imported once by the process that forks others: a batch has run, so that theirs begin at once."""

from __future__ import annotations

from naive_batch import make_accounts, make_rules

import optimizer as opt

opt.reallocate(make_accounts(4, seed=3), make_rules())
