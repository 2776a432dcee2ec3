"""Examples are whole Dockerfiles in which nothing else is wrong."""

from __future__ import annotations

BASE = "debian:13@sha256:d7a5d3e9c1b04f6289ab37c5e0f1428d6b93a7c25e8f0146d3b9a7c25e8f0146"


def example(body: str) -> str:
    return f"FROM {BASE}\n{body}\nUSER app\n"
