"""An engine that only remembers what it was asked, and the API served over it in a thread."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import contextmanager

from portico import __version__
from portico.api.app import Api
from portico.api.server import serve
from portico.core.model.certificate_views import AccountsView, AccountView, RenewerView
from portico.core.model.labels import project_name
from portico.core.model.views import (
    AppView,
    ChangeView,
    CheckView,
    DaemonView,
    EventView,
    InstanceView,
    LogFileView,
    NginxView,
    PlanView,
    ProjectView,
    RenderView,
    RevisionView,
    SiteView,
    StatusView,
    StepView,
    TrustView,
    VersionView,
)
from portico.errors import ConfigError, NotFound, Problem, Refused
from portico.system.home import Home


class FakeControl:
    """Accepts every table that has an app; each change ends when `end` is called."""

    def __init__(self, home="/var/lib/portico"):
        self.home, self.asked, self.who = str(home), [], []
        self.source, self.project = "/srv/portico.toml", "srv"
        self.views = {}
        self.app_names = ("web",)
        self.draining = ()
        """Slots of each app whose instances leave."""
        self.log_files = []
        self.holding = False
        self.moved = threading.Event()

    async def status(self, app):
        if app not in {None, self.project, *self.app_names}:
            raise self._unknown(app)
        return StatusView(
            projects=(
                ProjectView(name=self.project, source=self.source, folder="/srv", revision=3),
            ),
            apps=tuple(app_view(name, self.project, self.draining) for name in self.app_names),
            sites=(
                SiteView(
                    name="app.localhost",
                    project=self.project,
                    urls=("https://app.localhost:8443",),
                    to="app web",
                    certificate="local",
                ),
            ),
            nginx=NginxView(pid=81, version="1.31.3", generation=2, program="/usr/sbin/nginx"),
            daemon=DaemonView(
                pid=os.getpid(),
                version="0.1.0",
                memory_bytes=41 << 20,
                home=self.home,
                uptime_s=7,
                mode="foreground",  # `down` does not wait for its end
            ),
            source=self.source,
            revision=3,
        )

    def version(self):
        return VersionView(version=__version__, pid=os.getpid())

    async def metrics(self):
        return "portico_nginx_up 1\n"

    async def check(self, request):
        self._usable(request)
        return CheckView(apps=1, sites=1, nginx="1.31.3", notes=("web: a note",))

    async def plan(self, request):
        self._usable(request)
        step = StepView(what="start web.3 on port 41003", why="3 are wanted, 2 run")
        return PlanView(steps=(step,))

    async def render(self, document):
        source = str(document is not None)
        return RenderView(files={"nginx.conf": "events {}\n", "source": source})

    async def up(self, request, who):
        self._usable(request)
        self.project = project_name(request.table, request.folder)
        return self._change("up", request.source, who, request)

    async def down(self, who, request, project):
        return self._change("down", project or "", who, (project, request.everything, request.now))

    async def upgrade(self, who):
        return self._change("upgrade", "nginx", who)

    async def start(self, app, who):
        return self._app_change("start", app, who)

    async def stop(self, app, who):
        return self._app_change("stop", app, who)

    async def restart(self, app, who):
        return self._app_change("restart", app, who)

    async def reload(self, app, who):
        return self._app_change("reload", app, who)

    async def scale(self, app, instances, who):
        return self._app_change("scale", app, who, instances)

    async def delete(self, app, who):
        return self._app_change("delete", app, who)

    async def pause(self, site, who):
        return self._change("pause", site, who, site)

    async def resume(self, site, who):
        return self._change("resume", site, who, site)

    async def rollback(self, revision, who):
        return self._change("rollback", str(revision), who, revision)

    async def output(self, app):
        return []

    def history(self):
        return [
            RevisionView(
                number=2, project="p", applied=2e9, who="root (pid 2)", source="b", current=True
            ),
            RevisionView(
                number=1, project="p", applied=1e9, who="root (pid 1)", source="a", current=False
            ),
        ]

    def follow_events(self, after):
        self.asked.append(("follow_events", after))
        return self._follow_events()

    async def _follow_events(self):
        yield EventView(number=8, at=2e9, kind="exit", subject="web.1.1", text="exited")

    def events(self, app, count):
        self.asked.append(("events", app, count))
        return [
            EventView(number=7, at=2e9, kind="restart", subject="web.1.1", text="its check failed")
        ]

    def changes(self):
        return list(self.views.values())

    def change(self, change):
        if change not in self.views:
            raise NotFound(f"there is no change {change}")
        return self.views[change]

    def follow(self, change):
        self.change(change)
        return self._follow(change)

    async def _follow(self, change):
        shown = None
        while True:
            if self.views[change] != shown:
                shown = self.views[change]
                yield shown
            if shown.state != "doing":
                return
            await asyncio.sleep(0.01)

    def logs(self, app):
        return [
            file
            for file in self.log_files
            if app in {None, file.app, f"{self.project}/{file.app}"}
        ]

    async def certificates(self):
        return []

    async def account(self):
        there = AccountView(
            directory="https://ca.test/dir",
            url="https://ca.test/acct/1",
            contact=("ops@example.com",),
            wanted=True,
        )
        given_up = AccountView(
            directory="https://old.test/dir",
            url="https://old.test/7",
            deactivated=True,
            wanted=False,
        )
        return AccountsView(thumbprint="dGh1bWI", accounts=(there, given_up))

    async def roll_over(self, who):
        return self._change("rollover", "the account's key", who, None)

    async def deactivate(self, issuer, who):
        return self._change("deactivate", issuer, who, issuer)

    async def renewers(self):
        return [RenewerView(where="/etc/crontab:7", what="certbot renew", remedy="put a # there")]

    async def trust(self, *, remove):
        self.asked.append(("trust", remove))
        return TrustView(root="/root.pem", installed=("the system",), skipped=("Firefox: none",))

    def _usable(self, request):
        if "apps" not in request.table:
            problem = Problem("apps", "is missing", 'write "[apps.web]"')
            raise ConfigError(request.source, [problem, Problem("edge.http", "must be a number")])

    def _app_change(self, kind, app, who, detail=None):
        if app not in {None, "all", *self.app_names}:
            raise self._unknown(app)
        return self._change(kind, app or "every app", who, detail if detail is not None else app)

    def _unknown(self, app):
        return NotFound(f"there is no app {app}; known: {', '.join(self.app_names)}")

    def _change(self, kind, subject, who, detail):
        self.asked.append((kind, detail))
        self.who.append(who)
        change = ChangeView(
            id=f"c{len(self.views) + 1}", kind=kind, subject=subject, state="doing", started=1e9
        )
        self.views[change.id] = change
        if not self.holding:
            self.end(change.id)
        return change

    def say(self, change, line):
        now = self.views[change]
        self.views[change] = now.model_copy(update={"lines": (*now.lines, line)})

    def end(self, change, error=None, exit_code=0):
        update = {"state": "failed" if error else "done", "error": error, "exit_code": exit_code}
        self.say(change, "web.1 answers")
        self.views[change] = self.views[change].model_copy(update=update)


def app_view(name, project="srv", draining=()):
    instances = tuple(
        InstanceView(
            id=f"{name}.{slot}.{slot}",
            slot=slot,
            pid=4710 + slot,
            port=41000 + slot,
            state="draining" if slot in draining else "ready",
            restarts=0,
            uptime_s=75,
            memory_bytes=45 << 20,
            cpu_percent=1.5,
            current=True,
        )
        for slot in (1, 2, *draining)
    )
    return AppView(
        name=name,
        project=project,
        state="ready",
        instances=instances,
        wanted=2,
        balance="round_robin",
        command="node index.js",
        cwd="/srv",
    )


def log_file(path, *, app="web", instance="web.1.1", stream="stdout", **more):
    return LogFileView(app=app, instance=instance, stream=stream, path=str(path), **more)


@contextmanager
def serving(control, folder):
    """The API over `control` on the socket of the home `folder`; yields the home."""
    home = Home(folder)
    home.make()
    with serving_at(control, home.socket):
        yield home


@contextmanager
def serving_at(control, path, allowed=None):
    uids = frozenset({0, os.geteuid()}) if allowed is None else allowed
    loop, stop, failed = asyncio.new_event_loop(), asyncio.Event(), []
    ready = threading.Event()

    async def run():
        await serve(Api(control), path, stop, uids, ready.set)

    def thread():
        try:
            loop.run_until_complete(run())
        except Refused as error:
            failed.append(error)
        finally:
            ready.set()
            loop.close()

    worker = threading.Thread(target=thread)
    worker.start()
    assert ready.wait(60)
    if failed:
        worker.join(60)
        raise failed[0]
    try:
        yield path
    finally:
        loop.call_soon_threadsafe(stop.set)
        worker.join(60)
        assert not worker.is_alive()
