"""The tables, as the scripts that made them, oldest first. Released scripts never change."""

from __future__ import annotations

from typing import Final

_SHELL_VARIABLES: Final = """
    key IN ('PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'TZ', 'TMPDIR',
        'VOLTA_HOME', 'PNPM_HOME', 'BUN_INSTALL', 'JAVA_HOME', 'SSL_CERT_FILE', 'SSL_CERT_DIR',
        'NODE_EXTRA_CA_CERTS', 'http_proxy', 'https_proxy', 'no_proxy', 'all_proxy', 'HTTP_PROXY',
        'HTTPS_PROXY', 'NO_PROXY', 'ALL_PROXY')
    OR key GLOB 'LC_*' OR key GLOB 'NVM_*' OR key GLOB 'FNM_*' OR key GLOB 'NODENV_*'
    OR key GLOB 'PYENV_*' OR key GLOB 'RBENV_*' OR key GLOB 'ASDF_*' OR key GLOB 'MISE_*'
"""
"""What instances inherit without `inherit_env`; the rest was kept and never used."""

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
    f"""
    UPDATE revision SET record = json_set(record, '$.environ', json((
        SELECT json_group_object(key, value) FROM json_each(record, '$.environ')
        WHERE {_SHELL_VARIABLES})))
    WHERE NOT EXISTS (SELECT 1 FROM json_tree(record, '$.document')
        WHERE key = 'inherit_env' AND type = 'true');
    UPDATE spec SET record = json_set(record, '$.environ', json((
        SELECT json_group_object(key, value) FROM json_each(record, '$.environ')
        WHERE {_SHELL_VARIABLES})))
    WHERE NOT coalesce(json_extract(record, '$.app.inherit_env'), 0);
    """,  # noqa: S608 - our own words
    """
    UPDATE setting SET value = iif(value = '', '{}', '{"default": ' || value || '}')
     WHERE name = 'in_force';
    """,
    """
    ALTER TABLE event ADD COLUMN project TEXT NOT NULL DEFAULT '';
    ALTER TABLE event ADD COLUMN uid INTEGER;
    ALTER TABLE event ADD COLUMN command TEXT NOT NULL DEFAULT '';
    """,
    """
    CREATE TABLE notified (target TEXT PRIMARY KEY, number INTEGER NOT NULL);
    """,
    """
    CREATE TABLE cluster (uuid TEXT PRIMARY KEY, revision INTEGER NOT NULL);
    CREATE TABLE mirror  (key TEXT PRIMARY KEY, value BLOB NOT NULL, revision INTEGER NOT NULL,
                          created INTEGER NOT NULL);
    """,
)
"""A database's `PRAGMA user_version` is the number of scripts that were run on it."""
IN_FORCE_NUMBERS: Final = (
    "SELECT value FROM json_each("
    "(SELECT value FROM setting WHERE name = 'in_force' AND json_valid(value)))"
)
"""Numbers of the revisions in force, one of each project."""
