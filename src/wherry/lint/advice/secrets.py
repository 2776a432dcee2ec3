"""Secrets that end up in an image: in commands, in values, in copied files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from wherry.dockerfile.instructions import Add, Arg, Copy, Env, Label
from wherry.lint.advice.example import example
from wherry.lint.advice.running import runs
from wherry.lint.rule import ADVICE, Mark, Rule, quoted
from wherry.lint.rules.arguments import names_secret
from wherry.lint.shell import Command
from wherry.lint.subject import Step, Subject

_VALUES = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{50}")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20}")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10}")),
    ("a password in a URL", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"]{1,80}:[^\s/:@'\"$]{1,80}@")),
)
_OPTION = re.compile(r"--(?:[a-z]+-)*(?:password|passwd|token|secret|api-?key)(?:=(.+))?")
_HEADER = re.compile(
    r"(?:authorization: *(?:bearer|basic|token)|(?:x-)?(?:api-key|auth-token|private-token):)\s+(\S+)"
)
_FILES = re.compile(
    r"(?:\.env(?:\.(?!example\b|sample\b|template\b|dist\b)[\w.-]+)?|.*\.(?:pem|key|p12|pfx|jks|keystore|kdbx)"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)|\.git|\.git-credentials|\.netrc|\.npmrc|\.pypirc|\.pgpass|\.ssh|\.aws"
    r"|\.htpasswd|credentials\.json|kubeconfig)"
)


def _in_command(subject: Subject) -> Iterator[Mark]:
    for step, _, commands in runs(subject):
        for command in commands:
            found = _secret_in(command)
            if found:
                yield Mark(step.where, f"{found} in a RUN stands in the history of the image")
                break


def _secret_in(command: Command) -> str:
    for item in command.variables:
        name, _, value = item.partition("=")
        if names_secret(name) and _is_literal(value):
            return f"the value of {name}"
    for word, following in pairwise((*command.words, "")):
        option = _OPTION.fullmatch(word)
        if option and _is_literal(option[1] or following):
            return f"the value of {word.partition('=')[0]}"
        header = _HEADER.search(word.lower()) if ":" in word else None
        if header and _is_literal(header[1]):
            return f"the header {quoted(word.partition(':')[0])}"
        if found := _value(word):
            return found
    return ""


def _is_literal(text: str) -> bool:
    return bool(text) and not text.startswith(("$", "-", "<", "/"))


def _value(text: str) -> str:
    return next((name for name, pattern in _VALUES if pattern.search(text)), "")


def _in_value(subject: Subject) -> Iterator[Mark]:
    for step in subject.steps():
        for name, value in _pairs(step):
            found = _value(value)
            if found:
                yield Mark(step.where, f"{step.node.keyword} {name} holds {found}")


def _pairs(step: Step) -> Iterator[tuple[str, str]]:
    if isinstance(step.instruction, Env | Label):
        yield from step.instruction.pairs
    elif isinstance(step.instruction, Arg):
        yield from ((argument.name, argument.default or "") for argument in step.instruction.arguments)


def _copied(subject: Subject) -> Iterator[Mark]:
    for step in subject.steps():
        if not isinstance(step.instruction, Copy | Add):
            continue
        for source in step.instruction.sources:
            name = source.rstrip("/").rpartition("/")[2]
            if _FILES.fullmatch(name) and not name.endswith((".pub", ".pub.pem")):
                yield Mark(step.where, f"{quoted(source)} looks like a secret, and is copied into the image")


RULES = (
    Rule(
        "SecretInRun",
        ADVICE,
        "Commands are kept in the image's history, and what they write in its layers",
        'write RUN --mount=type=secret,id=NAME and read "$(cat /run/secrets/NAME)"',
        _in_command,
        example('RUN curl -H "Authorization: Bearer abc123" https://example.org/data'),
        example(
            "RUN --mount=type=secret,id=token \\\n"
            '    curl -H "Authorization: Bearer $(cat /run/secrets/token)" https://example.org/data'
        ),
    ),
    Rule(
        "SecretInValue",
        ADVICE,
        "Values of ARG, ENV and LABEL can be read by everyone who has the image",
        "take the value out, and take it for known: make a new one",
        _in_value,
        example("ENV DATABASE_URL=postgres://app:hunter2@db/app"),
        example("ENV DATABASE_URL=postgres://db/app"),
    ),
    Rule(
        "SecretFileCopied",
        ADVICE,
        "A file stays in its layer, also when a later instruction deletes it",
        "name it in .dockerignore, and give it to RUN with --mount=type=secret or to `run` as a volume",
        _copied,
        example("COPY .env /app/.env"),
        example("COPY .env.example /app/.env.example"),
    ),
)
