"""`mimo status`: every stage, its state and the reason."""

from mimo_cli import console, disk
from mimo_cli.args import ProjectArgument, VerifyOption


def status(project: ProjectArgument = None, verify: VerifyOption = False) -> None:
    """Show every stage of a project, its state and the reason.

    \b
    mimo status game.mimo
    mimo status game.mimo --json | jq .stage

    up to date: nothing to do.  will run: the next command that needs it runs it, for the reason given.
    yours: your file stands in its place.  cannot run: something is missing that only you can bring.
    """
    from mimo_cli.project import Project, find_folder

    voice = console.current()
    opened = Project.open(find_folder(project), verify=verify)
    steps = opened.status()
    for step in steps:
        voice.event(
            "stage", stage=step.stage.id, state=step.action, reasons=list(step.reasons), warnings=list(step.warnings)
        )
    if not voice.as_json:
        width = max(len(step.stage.id) for step in steps)
        for step in steps:
            print(step.line(width))
    for warning in dict.fromkeys(warning for step in steps for warning in step.warnings):
        voice.warned(warning)
    names = opened.identities()
    voice.say(f"identities: {', '.join(names) if names else 'none yet; add one: mimo encode-id PICTURE'}")
    voice.say(f"{opened.root} holds {disk.gigabytes(disk.num_bytes(opened.root))}")
