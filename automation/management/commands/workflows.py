"""Organizers' workflows as files: export, import, and test them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from automation.management.base import OperatorCommand, add_word
from automation.models import User, Workflow
from automation.services import documents, portability, rehearsals


class Command(OperatorCommand):
    help = "Export an organizer's workflows to a file, import them from one, or test files against example bookings."
    examples = (
        "workflows test workflows/",
        "workflows export --organizer demo@example.com --output workflows.yaml",
        "workflows import workflows.yaml --organizer demo@example.com --mode update --dry-run",
    )

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True)
        test = add_word(
            commands, "test", "Run the examples of workflow files; exits with 1 if one fails.", self.examples
        )
        test.add_argument("path", type=Path, nargs="+", help="A file, or a directory of files.")
        export = add_word(commands, "export", "Write workflows as a document.", self.examples)
        export.add_argument("--organizer", required=True, help="Whose workflows: an email address.")
        export.add_argument("--name", action="append", default=[], help="Only this workflow; may be repeated.")
        export.add_argument("--format", choices=["yaml", "json"], default="yaml")
        export.add_argument("--output", type=Path, help="A file; standard output by default.")
        imports = add_word(commands, "import", "Make workflows from a document, all of them or none.", self.examples)
        imports.add_argument("path", type=Path, help="A file in YAML or JSON.")
        imports.add_argument("--organizer", required=True, help="Who gets them: an email address.")
        imports.add_argument("--mode", choices=[mode.value for mode in portability.Mode], default="create")
        imports.add_argument("--dry-run", action="store_true", help="Say what would happen, and change nothing.")

    def handle(self, *args: Any, command: str, **options: Any) -> None:
        getattr(self, f"_{command}")(**options)

    def _test(self, path: list[Path], verbosity: int = 1, **options: Any) -> None:
        failed = passed = 0
        for file in (file for one in path for file in rehearsals.files_in(one)):
            for one in rehearsals.rehearse(file):
                title = " :: ".join(part for part in (str(one.file), one.workflow, one.name) if part)
                failed, passed = (failed + 1, passed) if one.problems else (failed, passed + 1)
                if verbosity > 0 or one.problems:
                    self.say(f"{'FAILED' if one.problems else 'PASSED'} {title}")
                for problem in one.problems:
                    self.say(f"       {problem}")
        self.say(f"{passed} passed, {failed} failed")
        if failed:
            raise CommandError(f"{failed} of {failed + passed} examples failed.", returncode=1)

    def _export(self, organizer: str, name: list[str], format: str, output: Path | None, **options: Any) -> None:
        rows = Workflow.objects.filter(organizer=_organizer(organizer)).order_by("name", "pk")
        if name:
            known = set(rows.values_list("name", flat=True))
            if missing := [one for one in name if one not in known]:
                raise CommandError(f"There is no workflow {missing[0]!r}; there are {', '.join(sorted(known))}.")
            rows = rows.filter(name__in=name)
        found = documents.of(rows)
        text = documents.to_yaml(found) if format == "yaml" else documents.to_json(found)
        if output is None:
            self.stdout.write(text, ending="")
        else:
            output.write_text(text, "utf-8")
            self.say(f"{len(found)} workflows written to {output}.")

    def _import(self, path: Path, organizer: str, mode: str, dry_run: bool, **options: Any) -> None:
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}") from error
        user = _organizer(organizer)
        whole = documents.parse(text)
        if isinstance(whole, dict):
            whole.pop("tests", None)  # examples are for `workflows test`
        imported = portability.import_documents(
            user, documents.unwrap(whole), mode=portability.Mode(mode), dry_run=dry_run, by=user
        )
        for one in imported:
            self.say(f"{'would be ' if dry_run else ''}{one.action}: {one.name}")
            for field, (before, after) in one.changes.items():
                self.say(f"  {field}: {before!r} → {after!r}")
            for warning in one.warnings:
                self.say(f"  {warning}")


def _organizer(email: str) -> User:
    user = User.objects.filter(email__iexact=email).first()
    if user is None:
        raise CommandError(f"There is no user {email!r}: give the email address that they sign in with.")
    return user
