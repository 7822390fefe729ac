"""`eqverify completion`."""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print a script that makes a shell complete commands and options.

    For example

        eqverify completion bash > ~/.local/share/bash-completion/completions/eqverify

    Parameters
    ----------
    shell:
        Which shell the script is for.
    """
    from eqverify.cli.app import app

    print(app.generate_completion(shell=shell))
