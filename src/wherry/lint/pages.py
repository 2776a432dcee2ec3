"""The pages of docs/lint, made from the rules: `python -m wherry.lint.pages docs/lint`."""

from __future__ import annotations

import os
import sys

from wherry.lint.check import every_rule
from wherry.lint.rule import Rule


def pages() -> dict[str, str]:
    """File name -> Markdown."""
    rules = every_rule()
    return {"index.md": _index(rules), **{f"{rule.name}.md": _page(rule) for rule in rules}}


def _index(rules: tuple[Rule, ...]) -> str:
    rows = (f"| [{rule.name}]({rule.name}.md) | {rule.severity} | {rule.reason} |" for rule in rules)
    head = "# Rules of the linter\n\n| rule | severity | reason |\n|---|---|---|\n"
    return head + "\n".join(rows) + "\n"


def _page(rule: Rule) -> str:
    severity = rule.severity + (", experimental" if rule.experimental else "")
    wanted = "Runs only where `# check=experimental=" + rule.name + "` asks for it.\n\n"
    text = f"# {rule.name}\n\n{severity}: {rule.reason}.\n\n{wanted if rule.experimental else ''}"
    text += f"What to write: {rule.fix}.\n"
    for name, content in rule.files:
        text += f"\nWith this `{name}`:\n\n```text\n{content}```\n"
    turn_off = "" if rule.experimental else f"\nTurn it off with `# check=skip={rule.name}`.\n"
    return (
        text + f"\nBad:\n\n```dockerfile\n{rule.bad}```\n\nGood:\n\n```dockerfile\n{rule.good}```\n{turn_off}"
    )


def main(folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    for name, text in pages().items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(sys.argv[1])
