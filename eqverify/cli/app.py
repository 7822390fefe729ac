"""The commands as cyclopts knows them; each is imported when it is asked for."""

from __future__ import annotations

from cyclopts import App

from eqverify import __version__
from eqverify.cli.overview import COMMANDS, NAME

_MODULES = {"supports": "verify"}
"""Of commands that do not have one of their own."""

app = App(name=NAME, version=__version__, result_action="return_value", suppress_keyboard_interrupt=False)
for command in COMMANDS:
    app.command(f"eqverify.cli.commands.{_MODULES.get(command, command)}:{command}")
