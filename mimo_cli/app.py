"""The shell's door: `mimo COMMAND`. Commands are imported when they are called, errors are caught once, here."""

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from engine.errors import MimoError, UsageError
from engine.shelf import SHELF
from mimo_cli import __version__, console

COMMANDS = {
    "swap": "Put a character in the place of the person in a video.",
    "animate": "Make a character move as a motion file or a project says.",
    "decompose": "Take a video apart: person, scene, occluders, depth.",
    "fit-motion": "Find how the person moves, in metres, and the camera.",
    "encode-id": "Turn a picture into a character that can move.",
    "eval": "Measure how near a result comes to the truth.",
    "train": "Train the network from a recipe.",
    "dataset": "Make clips to train on.",
    "edit": "Write what to look at and what to edit, by hand.",
    "report": "Write one page that shows a project and its result.",
    "status": "Show every stage of a project, its state and the reason.",
    "weights": "Show, get and check the weights of networks.",
    "clean": "Drop what can be made again, to free the disk.",
    "doctor": "Show what this machine has and what is missing.",
}
"""Name to one line. The module is `mimo_cli.commands.<name>`, with _ for -, and holds a function of its own name."""

EPILOG = """\b
Exit codes: 0 done; 1 a bug of mimo; 2 the command line; 3 a file of yours; 4 something to install; 130 Ctrl-C.
Environment: NO_COLOR no colours; MIMO_WEIGHTS folder of networks you brought.
Files: VIDEO.mimo/ the project; its report.html shows it all.

\b
Complete words with Tab: mimo --install-completion
A killed run goes on where it was: type the same command again."""

COMMAND_EPILOG = """\b
Every command also takes -v (say more), -q (errors and results only) and --json (one object per line).
Exit codes, environment and files: mimo --help"""

_FLAGS = {"-v": "--verbose", "-q": "--quiet", "--verbose": "--verbose", "--quiet": "--quiet", "--json": "--json"}
_INTERRUPTED, _BUG = 130, 1
_USAGE_ERROR = typer.BadParameter.__mro__[1]  # of the click that this Typer carries, or stands on


class MimoCommand(TyperCommand):
    """A command whose help names what is typed, not the type it becomes."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:
        """Return what stands in the first line: braces around what must be given say nothing."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:
        """Write arguments, then options."""
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                rows[param.param_type_name].append((re.sub(r" <[^>]*>$", "", record[0]), record[1]))
        for kind, records in rows.items():
            if records:
                with formatter.section(f"{kind.capitalize()}s"):
                    formatter.write_dl(records)


class MimoGroup(TyperGroup):
    """The group of all commands: imports one when it is called, accepts -v, -q and --json anywhere, catches errors."""

    def list_commands(self, ctx: typer.Context) -> list[str]:
        """Return the commands in the order of the walk."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:
        """Return a command for the list in --help, without importing it."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[str, Any, list[str]]:
        """Import the command that was called.

        Raises:
            UsageError: there is no such command; the nearest is offered.
        """
        name = args[0].replace("_", "-")
        if name not in COMMANDS:
            from engine.config import nearest

            raise UsageError(
                f"there is no command {args[0]}.", fix=f"{nearest(name, COMMANDS, 'commands')} (mimo --help)"
            )
        return name, load(name), args[1:]

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Move the flags that every command has to the front, then parse."""
        stop = args.index("--") if "--" in args else len(args)
        flags = [_FLAGS[arg] for arg in args[:stop] if arg in _FLAGS]
        with _caught(ctx):
            return super().parse_args(ctx, [*flags, *(arg for arg in args[:stop] if arg not in _FLAGS), *args[stop:]])

    def invoke(self, ctx: typer.Context) -> Any:
        """Run the command; whatever goes wrong ends in a sentence and an exit code."""
        with _caught(ctx), SHELF.kept():
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


def load(name: str) -> Any:
    """Import one command.

    Args:
        name: a key of `COMMANDS`.

    Returns:
        The Typer command.
    """
    word = name.replace("-", "_")
    function = getattr(importlib.import_module(f"mimo_cli.commands.{word}"), word)
    shell = typer.Typer(add_completion=False, rich_markup_mode=None)
    shell.command(name, cls=MimoCommand, help=None, epilog=COMMAND_EPILOG)(function)
    return typer.main.get_command(shell)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mimo {__version__}")
        raise typer.Exit


def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more. Works after the command too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only errors and results.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout, for programs.")] = False,
) -> None:
    """Put any character into any video.

    \b
    mimo swap --character cat.png --video game.mp4

    Result paths go to stdout, everything else to stderr. mimo COMMAND --help shows examples of each command.
    """
    console.use(console.Console(verbose=verbose, quiet=quiet, as_json=as_json))


app = typer.Typer(cls=MimoGroup, no_args_is_help=True, rich_markup_mode=None)
app.callback(epilog=EPILOG)(start)


def main() -> None:
    """Run the command line and exit."""
    try:
        app(prog_name="mimo")
    except KeyboardInterrupt:  # before the group was there to catch it
        sys.exit(_INTERRUPTED)


@contextmanager
def _caught(ctx: typer.Context) -> Iterator[None]:
    """Turn every exception into at most two lines on stderr and an exit code."""
    try:
        yield
    except MimoError as error:
        console.current().error(error)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        voice = console.current()
        voice.stop()
        voice.say("\nstopped. Type the same command again to go on from here: finished work is kept.")
        raise typer.Exit(_INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: nothing to say, to nobody
        raise typer.Exit(0) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if isinstance(error, _USAGE_ERROR):
            _usage(ctx, error)
        _crash(error)


def _usage(ctx: typer.Context, error: Any) -> None:
    """Say a usage error of Typer's in our two lines."""
    if type(error).__name__ == "NoArgsIsHelpError":
        raise error
    inner = getattr(error, "ctx", None) or ctx
    close = getattr(error, "possibilities", None)
    what = (error.message if close else error.format_message()).split(" Did you mean")[0].rstrip(".?")
    what = what[:1].lower() + what[1:]
    fix = (
        f"did you mean {' or '.join(sorted(close))}?" if close else f"{inner.command_path} --help shows what it takes."
    )
    console.current().error(UsageError(f"{what}.", fix=fix))
    raise typer.Exit(2) from None


def _crash(error: Exception) -> None:
    """Log a bug of ours and say where."""
    from mimo_cli.crash import report_crash

    report_crash(error)
    raise typer.Exit(_BUG) from None
