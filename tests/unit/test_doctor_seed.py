"""What `portico doctor` finds in a stack that was wired by hand, and nothing else."""

from __future__ import annotations

from pathlib import Path

from portico.stack.doctor.diagnose import diagnose
from portico.stack.doctor.gathering import gather

STACK = Path(__file__).parents[1] / "stacks/seed"
TRUE = {
    "renewal-without-reload crontab:1",
    "name-misspelt site.conf:4",
    "certificate-file-misspelt site.conf:8",
    "process-not-balanced ecosystem.config.js",
    "watch-in-production ecosystem.config.js",
    "upstream-without-keepalive upstream.conf:1",
    "http-without-redirect upstream.conf:7",
    "server-without-listen upstream.conf:7",
    "host-not-passed upstream.conf:11",
    "client-address-not-passed upstream.conf:11",
    "scheme-not-passed upstream.conf:11",
    "fork-mode-reload ecosystem.config.js",
    "output-of-pm2-not-rotated ecosystem.config.js",
    "http2-as-parameter site.conf:2",
    "ip-hash upstream.conf:2",
    "localhost-twice upstream.conf:3",
    "hsts-missing site.conf:1",
}


def test_all_that_is_wrong_with_a_hand_made_stack_is_found_and_nothing_else():
    facts = gather(sorted(STACK.iterdir()), {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    found = {f"{each.rule.code} {each.place}".replace(f"{STACK}/", "") for each in diagnose(facts)}
    assert found == TRUE
