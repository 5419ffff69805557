"""The tables, as the scripts that made them, oldest first. Released scripts never change."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final = (
    """
    CREATE TABLE revision (number INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL);
    CREATE TABLE spec     (id TEXT PRIMARY KEY, record TEXT NOT NULL);
    CREATE TABLE app      (name TEXT PRIMARY KEY, target TEXT NOT NULL, good TEXT,
                           record TEXT NOT NULL);
    CREATE TABLE instance (id TEXT PRIMARY KEY, spec TEXT NOT NULL, record TEXT NOT NULL);
    CREATE TABLE serial   (app TEXT PRIMARY KEY, last INTEGER NOT NULL);
    CREATE TABLE setting  (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE event    (number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL,
                           kind TEXT NOT NULL, subject TEXT NOT NULL, text TEXT NOT NULL);
    """,
    """
    CREATE TABLE memory   (lineage TEXT PRIMARY KEY, record TEXT NOT NULL);
    CREATE TABLE ledger   (number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL,
                           record TEXT NOT NULL);
    CREATE INDEX ledger_at ON ledger (at);
    """,
)
"""A database's `PRAGMA user_version` is the number of scripts that were run on it."""
