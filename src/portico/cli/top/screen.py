"""The screen of `portico top`, drawn by Textual. It asks the daemon in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, ParamSpec

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static
from textual.worker import get_current_worker

from portico.cli.column_layout import MIN_NAME, shorten
from portico.cli.formatting import size
from portico.cli.states import STATES
from portico.cli.top.rows import COLUMNS, HEADS, Graphs, Order, Row, first_column, matches, rows_of
from portico.client.client import Client
from portico.core.model import machine_verbs, verbs
from portico.errors import PorticoError
from portico.system.printable import printable
from portico.system.waiting import pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portico.core.model.machine_views import MachineView
    from portico.core.model.views import ChangeView, StatusView

P = ParamSpec("P")
GRAPH: Final = "requests"
LINES: Final = 10
"""Of the pane of output."""
NAMES_OF_SCREEN: Final = 4
"""A name is shortened to this part of the screen's width."""
CLOSE_CHECK_INTERVAL: Final = 0.1
"""Seconds after which the thread sees that the screen is closed."""
_CHANGES: Final = {"reload": verbs.RELOAD, "restart": verbs.RESTART, "stop": verbs.STOP}
_RIGHT_ALIGNED: Final = frozenset(HEADS[HEADS.index("cpu") :])


class Top(App[None]):
    CSS = """
    #head { height: auto; padding: 0 1; background: $surface; }
    #rows { height: 1fr; }
    #output { height: auto; max-height: 12; padding: 0 1; border-top: solid $primary; }
    #output, #message, #filter { display: none; }
    #message { height: auto; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "quit", key_display="q"),
        Binding("r", "ask('reload')", "reload"),
        Binding("R", "ask('restart')", "restart"),
        Binding("x", "ask('stop')", "stop"),
        Binding("plus,equals_sign", "ask('+')", "scale", key_display="+ -"),
        Binding("minus", "ask('-')", "scale", show=False),
        Binding("l,enter", "output", "output", key_display="l"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("less_than_sign", "order(-1)", "sort", key_display="< >"),
        Binding("greater_than_sign", "order(1)", "sort", show=False),
        Binding("i", "reverse", "reverse"),
        Binding("y", "yes", "yes", show=False),
        Binding("n,escape", "no", "no", show=False),
    ]
    ENABLE_COMMAND_PALETTE = False
    TITLE = "portico top"

    def __init__(self, client: Client, words: str, *, interval: float) -> None:
        super().__init__()
        self._client, self._words, self._interval = client, words, interval
        self._status: StatusView | None = None
        self._machines: Sequence[MachineView] = ()
        self._rows: dict[str, Row] = {}
        """Those that are shown, by key."""
        self._graphs, self._order = Graphs(), Order()
        self._shows_output = False
        self._question: Callable[[], None] | None = None
        """What `y` does."""

    def compose(self) -> ComposeResult:
        yield Static("waiting for porticod", id="head", markup=False)
        yield DataTable[Text](id="rows", cursor_type="row", zebra_stripes=True)
        yield Static(id="output", markup=False)
        yield Static(id="message", markup=False)
        yield Input(self._words, placeholder="words to filter by", id="filter")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#rows").focus()
        self.run_worker(self._look, thread=True, name="look")

    # What is seen

    def _look(self) -> None:
        """In a thread, until the screen is closed."""
        worker = get_current_worker()
        while not worker.is_cancelled:
            try:
                status = self._client.ask(verbs.STATUS)
                others = status.neighbours
                machines = self._client.ask(machine_verbs.MACHINES) if others else ()
                lines = self._output()
            except PorticoError as error:
                self._draw_from_thread(self._head, f"{error}; asking again")
            else:
                self._draw_from_thread(self._show, status, machines, lines)
            waited = 0.0
            while waited < self._interval and not worker.is_cancelled:
                pause(CLOSE_CHECK_INTERVAL)
                waited += CLOSE_CHECK_INTERVAL

    def _draw_from_thread(self, draw: Callable[P, None], *what: P.args, **more: P.kwargs) -> None:
        def unless_closed() -> None:
            if self.query("#rows"):  # the screen is taken down before its threads have ended
                draw(*what, **more)

        self.call_from_thread(unless_closed)

    def _output(self) -> list[str]:
        row = self.selected() if self._shows_output else None
        if row is None:
            return []
        if row.of_machine:
            return [f"the output of {row.label} is shown by `portico logs` on {row.of_machine}"]
        found = self._client.ask(verbs.OUTPUT, app=row.subject, count=LINES)
        return [each.line for each in found]

    def _show(self, status: StatusView, machines: Sequence[MachineView], lines: list[str]) -> None:
        self._status, self._machines = status, machines
        self._graphs.add(rows_of(status, machines))
        self._draw()
        if self._shows_output:
            self.query_one("#output", Static).update("\n".join(lines) or "no output yet")

    def _draw(self) -> None:
        """The table anew, with the cursor on the row that it was on."""
        if (status := self._status) is None:
            return
        every = [*rows_of(status, self._machines)]
        rows = [row for row in every if matches(row, self._words)]
        table, selected = self.query_one("#rows", DataTable), self.selected()
        first, most = first_column(status), max(MIN_NAME, self.size.width // NAMES_OF_SCREEN)
        table.clear(columns=True)
        mark = "▲" if self._order.is_reversed else "▼"
        for number, head in enumerate(HEADS[first:], start=first):
            table.add_column(f"{head} {mark}" if number == self._order.column else head)
        table.add_column(GRAPH)
        self._rows = {row.key: row for row in self._order.apply(rows)}
        for row in self._rows.values():
            cells = [_cell(number, row, most) for number in range(first, len(COLUMNS))]
            table.add_row(*cells, Text(self._graphs.of(row), style="cyan"), key=row.key)
        if selected and selected.key in self._rows:
            table.move_cursor(row=list(self._rows).index(selected.key))
        self._head(_summary(status, self._machines, every, self._words))

    def _head(self, text: str) -> None:
        self.query_one("#head", Static).update(printable(text))

    def _message(self, text: str) -> None:
        message = self.query_one("#message", Static)
        message.update(printable(text))
        message.display = bool(text)

    def selected(self) -> Row | None:
        at, rows = self.query_one("#rows", DataTable).cursor_row, list(self._rows.values())
        return rows[at] if 0 <= at < len(rows) else None

    # Keys

    def action_order(self, by: int) -> None:
        if self._status:
            self._order.move(by, first_column(self._status))
            self._draw()

    def action_reverse(self) -> None:
        self._order.is_reversed = not self._order.is_reversed
        self._draw()

    def action_output(self) -> None:
        self._shows_output = not self._shows_output
        output = self.query_one("#output", Static)
        output.update("reading")
        output.display = self._shows_output

    def action_filter(self) -> None:
        words = self.query_one("#filter", Input)
        words.display = True
        words.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        self._words = changed.value
        self._draw()

    def on_input_submitted(self) -> None:
        self.query_one("#filter").display = False
        self.query_one("#rows").focus()

    def on_data_table_row_selected(self) -> None:
        self.action_output()

    def action_ask(self, what: str) -> None:
        """Have it confirmed: a key is pressed easily."""
        if (row := self.selected()) is None:
            return
        status = self._status
        place = f" on {status.machine}" if status and status.machine else ""
        if status and status.shared:
            place = " on all machines"
        elif row.of_machine:
            self._message(f"{row.label} runs on {row.of_machine}; change it there")
            return
        if what in {"+", "-"}:
            text, verb = f"scale {row.name} by {what}1{place}", verbs.SCALE
            more = {"instances": f"{what}1"}
        else:
            text, verb, more = f"{what} {row.name}{place}", _CHANGES[what], {}
        self._question = lambda: self._start(
            text, lambda: self._client.ask(verb, app=row.name, **more)
        )
        self._message(f"{text}?  y: yes  n: no")

    def action_yes(self) -> None:
        question, self._question = self._question, None
        if question:
            question()

    def action_no(self) -> None:
        self._question = None
        self._message("")
        self.query_one("#filter").display = False
        self.query_one("#rows").focus()

    def _start(self, text: str, act: Callable[[], ChangeView]) -> None:
        self._message(f"{text}: started")
        self.run_worker(lambda: self._follow(text, act), thread=True, name=text)

    def _follow(self, text: str, act: Callable[[], ChangeView]) -> None:
        """In a thread, until the change has ended."""
        said = f"{text}: done"
        try:
            for change in self._client.follow(act().id):
                if change.state == "failed":
                    said = f"{text}: {change.error or 'failed'}"
                elif change.lines:
                    self._draw_from_thread(self._message, f"{text}: {change.lines[-1]}")
        except PorticoError as error:
            said = f"{text}: {error}"
        self._draw_from_thread(self._message, said)


def _cell(number: int, row: Row, most: int) -> Text:
    column = COLUMNS[number]
    style = STATES.get(row.state, "") if column.head == "state" else ""
    return Text(
        shorten(printable(column.text(row)), most),
        style=style,
        justify="right" if column.head in _RIGHT_ALIGNED else "left",
    )


def _summary(
    status: StatusView, machines: Sequence[MachineView], rows: Sequence[Row], words: str
) -> str:
    nginx, daemon = status.nginx, status.daemon
    instances = [row.instance for row in rows if row.instance]
    ready = sum(i.state == "ready" for i in instances)
    sites = [site.traffic for site in status.sites]
    sites += [site.traffic for each in machines if each.status for site in each.status.sites]
    rate = sum(traffic.requests_s for traffic in sites if traffic)
    answering = 1 + sum(each.status is not None for each in machines)
    first = [
        *([f"{answering} of {1 + len(machines)} machines"] if machines else []),
        f"{ready} of {len(instances)} instances ready",
        f"{rate:.1f} requests/s",
        f"nginx {nginx.version}" if nginx.pid else "nginx is not running",
        f"porticod {daemon.version}, {size(daemon.memory_bytes)}",
    ]
    if words:
        first.append(f"only: {words}")
    problems = [f"problem: {each}" for each in status.troubles[:3]]
    return "\n".join((" · ".join(first), *problems))
