"""wherry's own rules: what guides on building good images teach."""

from __future__ import annotations

from wherry.lint.advice import files, image, packages, running, secrets

RULES = (*image.RULES, *files.RULES, *secrets.RULES, *packages.RULES, *running.RULES)
