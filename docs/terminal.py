"""Draw docs/terminal.svg, the picture of a terminal in README: ``python docs/terminal.py``, from the root of the repository.

It runs the commands in a terminal of its own, in a temporary folder, and draws what they print. Needs Linux or macOS.
"""

import os
import pty
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS = 122
COMMANDS = (
    "numbacnn train --model small --dataset digits --progress plain",
    "numbacnn predict samples/3-blue-pen.png",
)


def printed(command: str, folder: Path) -> str:
    """What a command prints in a terminal of ``COLUMNS`` columns with all colours."""
    parts: list[bytes] = []

    child, handle = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        program, *arguments = shlex.split(command)
        os.execvp(program, [program, *arguments])
    try:
        while data := os.read(handle, 1 << 16):
            parts.append(data)
    except OSError:  # the other end of the terminal is closed
        pass
    os.waitpid(child, 0)
    return b"".join(parts).decode().replace("\r\n", "\n")


def main() -> None:
    """Run the commands, and write the picture."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True, color_system="truecolor")  # noqa: SIM115
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(ROOT / "data" / "samples", Path(name) / "samples")
        for command in COMMANDS:
            console.print(Text(f"$ {command}", "bold"))
            text = re.sub(r"\x1b\[\?\d+[hl]", "", printed(command, Path(name)))
            console.print(Text.from_ansi(text.rstrip("\n")))
            console.print()
    picture = console.export_svg(title="numbacnn")
    # The picture asks for no font from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    (ROOT / "docs" / "terminal.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
