"""The command line as a whole: its commands, and exit codes for what goes wrong."""

from __future__ import annotations

import sys

import typer

from autoreg.commands import apply, check, copy, export, front, latency, methods, report, run, schema
from autoreg.commands.options import EXIT_EMPTY, EXIT_INPUT, EXIT_INTERRUPTED
from autoreg.errors import AutoregError, NoTrialError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="AutoML search over regularization and sparsity: the front of accuracy against FLOPs, latency and size.",
)
for command in (
    run.run,
    check.check,
    latency.latency,
    front.front,
    report.report,
    apply.apply,
    export.export,
    methods.methods,
    schema.schema,
    copy.copy,
):
    app.command()(command)


def main() -> None:
    """Run the command line and turn what a user can mend into one message and an exit code."""
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)  # outside of standalone mode an exit is returned, not raised
    except typer.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except NoTrialError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(EXIT_EMPTY)
    except BrokenPipeError:
        raise  # whoever read what is printed has left: nothing is wrong with a file
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"Error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(EXIT_INPUT)
    except AutoregError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(EXIT_INPUT)
    except Exception as error:
        if _is_usage(error):
            print(f"Error: {error.format_message()}", file=sys.stderr)  # type: ignore[attr-defined]
            sys.exit(EXIT_INPUT)
        raise


def _is_usage(error: Exception) -> bool:
    """Whether the command line was called in a wrong way; newer versions of Typer bring a Click of their own."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


if __name__ == "__main__":
    main()
