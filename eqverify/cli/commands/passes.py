"""`eqverify passes`."""

from __future__ import annotations

from eqverify.cli.commands.shared import Json, print_json


def passes(*, json: Json = False) -> None:
    """List the passes that `eqverify reduce --passes` knows, those of other packages too.

    Parameters
    ----------
    json:
        Print one JSON object instead of text.
    """
    from eqverify.cli import render
    from eqverify.transform.result import pass_table

    rows = pass_table()
    if json:
        print_json("passes", {"passes": rows})
        return
    render.print_pairs(
        (name, f"{row['summary']} [{row['rewrites']}, {row['statement']}{', default' if row['default'] else ''}]")
        for name, row in rows.items()
    )
