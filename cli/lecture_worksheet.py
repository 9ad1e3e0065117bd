"""``numbacnn lecture worksheet``: a sheet of exercises for each student, and a key."""

from pathlib import Path

import click

from numbacnn.backends import get_ops
from numbacnn.errors import DataError
from numbacnn.files import make_folder
from numbacnn.lecture.worksheet import key, markdown, marks, sheets
from numbacnn.quoting import counted, ranges
from numbacnn.reading import read_bounded

from . import options
from .compiling import announced_compilations
from .console import notice, print_json, stdout
from .new_files import has_content, write_new
from .paths import UserPath
from .tables import table, text
from .usage import check_heeded

MOST_STUDENTS = 1000
MOST_BYTES = 1_000_000


@click.command("worksheet")
@click.option(
    "--students", type=options.WholeNumber(1, MOST_STUDENTS), default=30, show_default=True, metavar="N", help="Number of sheets."
)
@click.option(
    "--seed", type=options.WholeNumber(0, 2**31), default=7, show_default=True, metavar="N", help="Seed of the numbers."
)
@click.option(
    "--output", type=UserPath(), default=Path("worksheets"), show_default=True, help="Folder of the sheets and of key.csv."
)
@click.option(
    "--check", "answers", type=UserPath(), metavar="FILE", help="Mark students' answers: a CSV file with key.csv's columns."
)
@options.force
@options.reporting
@click.pass_context
def lecture_worksheet(
    ctx: click.Context, students: int, seed: int, output: Path, answers: Path | None, force: bool, output_format: str
) -> None:
    """Write a sheet of exercises for each student, all different, and one key; or mark the answers to them.

    The sheets are Markdown, the key is CSV. The same seed gives the same files. All answers are whole numbers.

    \b
    Example: numbacnn lecture worksheet --students 30 --seed 7 --output sheets
             numbacnn lecture worksheet --students 30 --seed 7 --check answers.csv
    """
    if answers is not None:
        check_heeded(ctx, "--check marks answers, and writes nothing", "output", "force")
    given = None if answers is None else _content(answers)
    with announced_compilations():
        made = sheets(get_ops("cpu", plain=True), students, seed)
    if answers is not None and given is not None:
        rows = marks(made, given, str(answers))
        if absent := sorted({sheet.student for sheet in made} - {row.student for row in rows}):
            notice(f"{answers}: no answers of {counted(len(absent), 'student')} of {students}: {ranges(absent)}")
        if output_format == "json":
            print_json([row._asdict() for row in rows])
            return
        shown = table("student", "right", text("wrong"), text("missing"))
        for row in rows:
            shown.add_row(str(row.student), f"{row.right} of {row.of}", " ".join(row.wrong), " ".join(row.missing))
        stdout().print(shown)
        return
    digits = len(str(students))
    files = {output / f"sheet-{sheet.student:0{digits}}.md": markdown(sheet) for sheet in made} | {output / "key.csv": key(made)}
    make_folder(output)
    contents = {path: content.encode() for path, content in files.items()}
    written = write_new(contents, lambda path: has_content(path, contents[path]), "the sheet to be written", force)
    if output_format == "json":
        print_json({"folder": str(output), "files": list(map(str, files)), "wrote": list(map(str, written))})
        return
    stdout().print_wrapped(f"{students} sheets and key.csv in {output}; {len(written)} files written")


def _content(path: Path) -> str:
    try:
        return read_bounded(path, MOST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: expected a text in UTF-8, got something else. Save it as CSV UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}. Give another file") from None
