"""The documents agree with the program, and citations with the lecture."""

import ast
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from command_line import every_command, run_here
from numbacnn_cli.main import app
from repository import ROOT, benchmark

from numbacnn.lecture.ladder import RUNGS
from numbacnn.lecture.sections import SECTIONS
from numbacnn.lecture.terms import TERMS
from numbacnn.models import PRESETS
from numbacnn.summary import summarise

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def help_page() -> str:
    """The text of docs/cli.md: the help of every command, 100 columns wide."""
    parts = [
        "# Command line\n\nGenerated from `--help`; a test compares. "
        "Exit codes: 0 done, 1 an expected failure, 2 usage, 130 after Ctrl-C, 143 after SIGTERM.\n"
    ]
    for words in [(), *(words for words, _ in every_command())]:
        done = CliRunner().invoke(app, [*words, "--help"], prog_name="numbacnn", terminal_width=100)
        assert done.exit_code == 0
        parts.append(f"## numbacnn {' '.join(words)}".rstrip() + f"\n\n```\n{done.output.rstrip()}\n```\n")
    return "\n".join(parts)


def test_the_command_line_reference_is_the_help() -> None:
    page = ROOT / "docs" / "cli.md"
    if os.environ.get("REGENERATE_GOLDEN"):
        page.write_text(help_page(), encoding="utf-8")
    assert page.read_text(encoding="utf-8") == help_page()


def commands_in(text: str) -> list[str]:
    """Every ``numbacnn ...`` command line of a text, without comments and redirections."""
    found = re.findall(r"^ *(?:\$ |Example: )?(?:\.venv/bin/)?(numbacnn [a-z][^\n`]*)", text, re.MULTILINE)
    return [re.split(r" [>#|&]|  ", line)[0].strip() for line in found]


def all_commands() -> list[tuple[str, str]]:
    return [(path.name, line) for path in DOCUMENTS for line in commands_in(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("document", "line"), all_commands())
def test_every_command_in_the_documents_is_valid(document: str, line: str) -> None:
    check_command_line(line, document)


def check_command_line(line: str, where: str) -> None:
    """The options and arguments of a ``numbacnn ...`` are those of its command."""
    command: click.Command = app
    args = shlex.split(line)[1:]
    while isinstance(command, click.Group) and args and not args[0].startswith("-"):
        name, *args = args
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{where}: {line}"
        command = found
    command.make_context(command.name, args, resilient_parsing=False)


@pytest.mark.parametrize(
    ("words", "command"), every_command(), ids=lambda each: " ".join(each) if isinstance(each, tuple) else ""
)
def test_every_help_has_an_example_and_one_sentence_that_the_list_of_commands_repeats(
    words: tuple[str, ...], command: click.Command
) -> None:
    assert f"Example: numbacnn {' '.join(words)}" in (command.help or "")


@pytest.mark.parametrize(
    "line", [line for section in SECTIONS.values() for line in section.commands] + [term.command for term in TERMS.values()]
)
def test_every_command_that_the_lecture_names_is_valid(line: str) -> None:
    check_command_line(line, "numbacnn lecture")


def test_the_table_of_the_tour_is_what_shapes_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run_here("shapes", "cnn").out.split("\n") == printed_block("numbacnn shapes cnn")


def printed_block(command: str) -> list[str]:
    """The lines under ``$ command`` in the tour's first block that shows it."""
    text = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    block = re.search(rf"^\$ {re.escape(command)}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert block, f"the tour shows no output of {command!r}"
    return block[1].split("\n")


def test_every_preset_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in PRESETS:
        assert f"`{name}`" in text or f" {name} " in text


def test_the_figures_of_the_readmes_networks_are_those_that_were_measured() -> None:
    """``python benchmarks/presets.py --json docs/presets.json`` wrote them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    presets = json.loads((ROOT / "docs" / "presets.json").read_text(encoding="utf-8"))["presets"]
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [^|]* \| (.*) \|$", text, re.MULTILINE))
    assert rows == {name: benchmark("presets").cells(runs) for name, runs in presets.items()}
    assert rows.keys() == PRESETS.keys() - {"xo", "cs231n"}


def test_the_chart_of_the_readme_is_drawn_from_the_figures_beside_it() -> None:
    """``python benchmarks/chart.py docs/speed.json --chart docs/speed.svg`` draws it."""
    chart = benchmark("chart")
    shown = json.loads((ROOT / "docs" / "speed.json").read_text(encoding="utf-8"))
    drawn = chart.svg(shown)
    assert drawn == (ROOT / "docs" / "speed.svg").read_text(encoding="utf-8")
    table = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert all(line in table for line in chart.table(shown))


def test_documents_name_no_path_of_a_particular_machine() -> None:
    for path in [*DOCUMENTS, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md"]:
        assert not re.search(r"(/home/|/root/|/work/|/tmp/)", path.read_text(encoding="utf-8")), path.name


@pytest.mark.parametrize(("document", "longest"), [("README.md", 8), ("docs/tour.md", 8)])
def test_the_python_of_the_readme_and_of_the_tour_prints_what_it_says(
    document: str, longest: int, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / document).read_text(encoding="utf-8")
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n\nprints\n\n```\n(.*?)```", text, re.DOTALL)
    assert text.count("```python") == 1
    assert len([line for line in code.splitlines() if line]) <= longest
    exec(code, {})
    assert capsys.readouterr().out == printed


def test_the_first_two_commands_of_the_readme_stand_at_its_top() -> None:
    lines = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").split("\n") if line.startswith("    ")]
    assert lines[0].startswith("python3 -m venv .venv && .venv/bin/pip install")
    assert lines[1] == ".venv/bin/python -m pytest"


def test_ci_runs_the_two_commands_that_readme_opens_with_and_none_of_its_own_instead() -> None:
    """CI once installed more than README's first command, and passed while README's second command failed."""
    script = ROOT / ".ci" / "run"
    block = re.search(r"(?:^    .+\n)+", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert block is not None
    install, test = (line.strip() for line in block[0].splitlines())
    assert re.fullmatch(
        r"python3 -m venv \.venv && \.venv/bin/pip install -q -e '\.\[test\]' && \.venv/bin/numbacnn train .+", install
    )
    assert test == ".venv/bin/python -m pytest"
    text = script.read_text(encoding="utf-8")
    assert re.search(r"awk .+ README\.md", text)
    assert [line for line in text.splitlines() if "bash -c" in line] == [
        'bash -c "${commands[0]}"', 'bash -c "${commands[1]}"',
    ]  # fmt: skip


SLIDES = (ROOT / "tests" / "lecture_slides.txt").read_text(encoding="utf-8").splitlines()
"""The titles of the lecture's slides, in their order."""

TITLED = [*sorted((ROOT / "numbacnn").rglob("*.py")), *sorted((ROOT / "cli").rglob("*.py")), *DOCUMENTS]


def slides_cited(text: str) -> list[str]:
    """The titles in each ``the lecture's slide "A"`` or ``slides "A", "B" and "C"``; an empty title where none is quoted."""
    found = re.findall(r"lecture's\s+slides?\b\s*((?:\"[^\"]+\"(?:,\s+|\s+and\s+)?)*)", text)
    return [title for titles in found for title in (re.findall(r'"([^"]+)"', titles) or [""])]


def test_citations_of_slides_are_found_in_one_line_and_in_several() -> None:
    assert slides_cited('x; the lecture\'s slides "A", "B (1/2)"\n    and "C"; y "no title"') == ["A", "B (1/2)", "C"]
    assert slides_cited("the lecture's slide \"A's and B's\". The lecture's slide, 0.6") == ["A's and B's", ""]


@pytest.mark.parametrize("path", TITLED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_slide_cited_has_a_title_of_the_lecture(path: Path) -> None:
    cited = [" ".join(title.split()) for title in slides_cited(path.read_text(encoding="utf-8"))]
    assert [title for title in cited if title not in SLIDES] == []


def test_citations_are_found_where_they_are() -> None:
    assert sum(len(slides_cited(path.read_text(encoding="utf-8"))) for path in TITLED) >= 30


def test_the_readme_names_the_lecture_by_its_title_and_author() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f'"{SLIDES[0]}"' in text
    assert "Amir H. Payberah (KTH)" in text


FOLDERS = ["", "numbacnn", "numbacnn/backends", *[f"numbacnn/backends/{device}{room}" for device, rooms in (
    ("cpu", ("", "/plain", "/products", "/conv", "/codegen")), ("cuda", ("", "/plain", "/tiled"))) for room in rooms]]  # fmt: skip
"""The folders below which docs/kernels.md and the others give paths."""


@pytest.mark.parametrize(
    "page", ["CONTRIBUTING.md", "docs/architecture.md", "docs/kernels.md", "docs/performance.md", "docs/scale-out.md"]
)
def test_every_source_file_named_in_the_documents_exists(page: str) -> None:
    named = re.findall(r"`([\w./-]+\.py)`", (ROOT / page).read_text(encoding="utf-8"))
    assert named
    assert [path for path in named if not any((ROOT / folder / path).exists() for folder in FOLDERS)] == []


def test_the_tests_that_hold_a_promise_exist() -> None:
    """Each ``file::test`` of docs/reliability.md; ``::test`` alone is of the file named before, ``..._by_x`` of the test before."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    source, count = "", 0
    for file, name in re.findall(r"`((?:[a-z_]+/)*[a-z_0-9]+\.py)?(?:::([a-z_0-9.]+))?`", text):
        if file:
            path = next((ROOT / folder / file for folder in ("tests", ".", "numbacnn") if (ROOT / folder / file).is_file()), None)
            assert path is not None, f"docs/reliability.md names {file}, which does not exist"
            source = path.read_text(encoding="utf-8")
        for part in filter(None, (name or "").split("...")):
            assert f"{part}(" in source if part == name else part in source, f"docs/reliability.md names {file or '...'}::{name}"
            count += 1
    assert count > 60


def test_the_table_of_the_battery_has_a_row_for_each_of_its_loops_with_all_its_cases_and_no_failure() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    printed = re.findall(r"^\| (.+) \| ([\d,]+) \| (\d+) \| \d+ \|$", text.partition("<!-- battery -->")[2], re.MULTILINE)
    rows = {title: int(cases.replace(",", "")) for title, cases, _ in printed}
    assert {failures for _, _, failures in printed} == {"0"}
    loops = 0
    for path in sorted((ROOT / "tests" / "battery").glob("test_*.py")):
        if path.name == "test_the_battery_itself.py":
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "battery"):
                continue
            loops += 1
            title, whole = call.args[0], next(each.value for each in call.keywords if each.arg == "whole")
            if isinstance(title, ast.Name):
                continue  # a helper's argument: its callers give texts of their own
            parts = title.values if isinstance(title, ast.JoinedStr) else [title]
            pattern = "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in parts)
            matching = [cases for name, cases in rows.items() if re.fullmatch(pattern, name)]
            assert matching, f"{path.name}: no row for {ast.unparse(title)}"
            if isinstance(whole, ast.Constant):
                assert set(matching) == {whole.value}, f"{path.name}: {ast.unparse(title)}"
    assert loops > 40


TRAINS = ("train", "lecture ladder", "lecture challenges", "bench")
"""Commands whose output the lecture's page shows, but which take minutes, or whose figures are a machine's."""


def printed_blocks(document: str) -> list[tuple[str, list[str]]]:
    """Each command that a document shows with its output."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    found = re.findall(r"^```\n\$ (numbacnn [^\n]+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(command, output.rstrip("\n").split("\n")) for command, output in found]


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Whether lines are those printed, where a line of three dots stands for any number of them."""
    pattern = "".join("(?:.*\n)*" if line == "..." else f"{re.escape(line)}\n" for line in shown)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


@pytest.mark.parametrize(
    ("command", "shown"),
    [each for each in printed_blocks("lecture.md") if not each[0].removeprefix("numbacnn ").startswith(TRAINS)],
)
def test_the_page_of_the_lecture_shows_what_its_commands_print(
    command: str, shown: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    assert run_here("samples", "samples").code == 0
    done = run_here(*shlex.split(command)[1:])
    assert done.code == 0, done.err
    assert agrees(shown, done.out.rstrip("\n").split("\n")), done.out


def test_the_page_of_the_lecture_shows_the_ladder_as_it_is_printed() -> None:
    """But for its figures, which take a minute and MNIST."""
    shown = dict(printed_blocks("lecture.md"))["numbacnn lecture ladder"]
    columns, *rows = [line for line in shown if re.match(r"network  |[a-z0-9-]+ +[^%]+ \d[\d,]* +\d+\.\d\d%", line)]
    assert columns.split()[:4] == ["network", "what", "is", "new"]
    for (model, what), row in zip(RUNGS.items(), rows, strict=True):
        parameters = summarise(PRESETS[model].graph).parameters
        assert re.match(rf"{re.escape(model)} +{re.escape(what)} +{parameters:,} ", row), row
        assert f"  numbacnn train --model {model} --epochs 3" in shown


def test_lines_left_out_of_a_block_may_be_any_and_the_others_not() -> None:
    printed = ["a", "b", "c", "d"]
    for shown in (printed, ["...", "d"], ["a", "...", "c", "d"], ["a", "b", "..."], ["..."], ["a", "b", "...", "c", "d"]):
        assert agrees(shown, printed)
    for shown in (["a", "b", "c"], ["b", "..."], ["a", "...", "e", "d"], ["a", "...", "c"]):
        assert not agrees(shown, printed)


def test_the_page_of_the_lecture_names_every_section_and_every_command_of_it() -> None:
    text = (ROOT / "docs" / "lecture.md").read_text(encoding="utf-8")
    group = app.get_command(click.Context(app), "lecture")
    assert isinstance(group, click.Group)
    assert [name for name in group.list_commands(click.Context(group)) if f"numbacnn lecture {name}" not in text] == []
    headings = re.findall(r"^### (.+)$", text, re.MULTILINE)
    named = [title for line in headings for title in SLIDES if title.partition(" (")[0] in line]
    assert len(set(named)) > len(SLIDES) // 2


def test_the_links_of_the_documents_lead_to_files() -> None:
    for page in [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_picture_of_a_terminal_asks_for_nothing_from_elsewhere() -> None:
    """Rich's export loads fonts from a host of its own."""
    picture = (ROOT / "docs" / "terminal.svg").read_text(encoding="utf-8")
    assert "url(http" not in picture
    assert "@font-face" not in picture
    assert "weights&#160;sha256" in picture


def test_the_bytes_of_a_step_on_ranks_are_those_that_the_program_exchanges() -> None:
    cluster, ranks = benchmark("cluster"), benchmark("ranks")
    text = (ROOT / "docs" / "scale-out.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d. |]+) \|$", text, re.MULTILINE))
    assert list(rows) == ["cnn", "accurate", "small", "dense128"]
    exchanges = ranks.exchanges_of("small")  # its kernels are compiled for other tests
    costs = [
        [cluster.exchange_cost(each, cluster.shares(count, 100), cluster.NETWORKS[0]) for each in exchanges]
        for count in (2, 4, 8)
    ]
    assert rows["small"] == " | ".join(f"{sum(cost.bytes for cost in each) / 1e6:.2f}" for each in costs)


def test_the_script_for_slurm_is_one_of_bash_and_starts_a_valid_training(tmp_path: Path) -> None:
    """With a ``srun`` that prints what it is asked to start: a new run, then the same one resumed."""
    script = ROOT / "docs" / "scale-out" / "train.slurm"
    assert set(re.findall(r"^#SBATCH --([\w-]+)", script.read_text(encoding="utf-8"), re.MULTILINE)) >= {
        "nodes",
        "signal",
        "requeue",
    }
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"PATH={shlex.quote(str(programs))}:$PATH\n")
    (programs / "srun").write_text('#!/bin/sh\necho "$@"\n')
    (programs / "srun").chmod(0o755)
    for checkpoint, option in ((None, "--model cnn"), ("runs/cnn-mnist/checkpoint.safetensors", "--resume")):
        if checkpoint:
            (tmp_path / checkpoint).parent.mkdir(parents=True)
            (tmp_path / checkpoint).touch()
        environ = os.environ | {"VENV": str(tmp_path / "venv"), "SLURM_CPUS_PER_TASK": "2"}
        done = subprocess.run(["bash", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
        line = done.stdout[done.stdout.index("numbacnn train") :].strip()
        assert option in line
        check_command_line(line, script.name)


def test_the_job_for_kubernetes_starts_as_many_ranks_as_it_has_slots_and_a_valid_training() -> None:
    """The schemas of the operator and of Kubernetes are not at hand here; what they demand is written down."""
    job = yaml.safe_load((ROOT / "docs" / "scale-out" / "mpijob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    spec = job["spec"]
    assert spec.keys() <= {
        "slotsPerWorker", "runLauncherAsWorker", "runPolicy", "mpiReplicaSpecs", "sshAuthMountPath", "launcherCreationPolicy",
        "mpiImplementation",
    }  # fmt: skip
    assert spec["mpiImplementation"] in ("OpenMPI", "Intel", "MPICH")
    launcher, worker = spec["mpiReplicaSpecs"]["Launcher"], spec["mpiReplicaSpecs"]["Worker"]
    for each in (launcher, worker):
        assert each.keys() <= {"replicas", "restartPolicy", "template"}
        pod = each["template"]["spec"]
        assert {mount["name"] for box in pod["containers"] for mount in box["volumeMounts"]} == {
            each["name"] for each in pod["volumes"]
        }
    (script,) = launcher["template"]["spec"]["containers"][0]["args"]
    ((ranks, line),) = re.findall(r"mpiexec -n (\d+) (numbacnn train .+)", script)
    assert int(ranks) == worker["replicas"] * spec["slotsPerWorker"]
    for options in re.findall(r"set -- (.+?)(?:;|$)", script, re.MULTILINE):
        check_command_line(line.replace('"$@"', options), "mpijob.yaml")
