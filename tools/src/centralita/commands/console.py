"""``centralita console``: calls in a browser, as a process of its own."""

import os
import subprocess
import sys
from typing import Annotated

import typer

from centralita.commands import exit_codes
from centralita.commands.exit_codes import ExitCode
from centralita.embedded.console import PACKAGE, is_installed
from centralita.embedded.run_files import read_setting

app = typer.Typer()
DEFAULT_PORT = 8080


@app.command("console", epilog=exit_codes.EPILOG)
def run_console(
    port: Annotated[int, typer.Option(min=0, max=65535, help="on 127.0.0.1; 0: any free port")] = DEFAULT_PORT,
    api_url: Annotated[
        str | None,
        typer.Option(envvar="API_URL", help="address of the REST API; default: that of centralita up in this folder"),
    ] = None,
) -> None:
    """Serves the console until Ctrl-C. It asks for an API key, and reaches everything over the REST API."""
    if not is_installed():
        remedy = "Install it with `pip install 'centralita[console]'`."
        exit_codes.fail(f"The console is not installed. {remedy}", code=ExitCode.WRONG_USE)
    address = api_url or read_setting("API_URL") or "http://127.0.0.1:8000"
    environment = {**os.environ, "API_URL": address, "HTTP_PORT": str(port)}
    typer.echo(f"The console of {address}" + (f" is at http://127.0.0.1:{port}" if port else ""), err=True)
    try:
        code = subprocess.run([sys.executable, "-m", PACKAGE], env=environment, check=False).returncode
    except KeyboardInterrupt:
        code = 0
    raise typer.Exit(code if code > 0 else 0)
