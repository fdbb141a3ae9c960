"""``centralita`` and ``python -m centralita``."""

import typer

from centralita.commands import call, dead_letters, demo, doctor, replay, tail, up

app = typer.Typer(help="AI agents that make phone calls.", no_args_is_help=True)
for command in (demo, up, call, tail, doctor):
    app.add_typer(command.app)
app.add_typer(replay.app, name="replay")
app.add_typer(dead_letters.app, name="dead-letters")


if __name__ == "__main__":
    app()
