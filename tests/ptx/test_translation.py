"""PTX as data, and what of it the PTX device refuses: neither gcc nor numba-cuda is needed."""

from collections import Counter

import pytest
from ptx.count import COLUMNS, figures, table
from ptx.parsing import Instruction, PtxError, Source, demangled, operands, parse
from ptx.translation import kind_of, translate

PTX = """
.version 9.0
.target sm_90
.address_size 64
.const .align 4 .b32 table[2] = {1, 0x2};
.visible .entry twice(
    .param .u64 x,
    .param .align 8 .b8 box[24],
    .param .u32 n
)
{
    .reg .pred %p<2>;
    .reg .b32 %r<4>; // a comment; with a semicolon
    .shared .align 16 .b8 cache[64];
    .shared .align 8 .b8 flags[8];
    .loc 1 7 5
    ld.param.u32 %r1, [n];
$L__one: setp.eq.s32 %p1, %r1, 0;
    @!%p1 bra $L__two;
    .loc 1 9 1, function_name $L__info, inlined_at 2 3 4
    st.shared.v2.b32 [flags], {%r1,
        %r1};
    bar.sync 0;
$L__two:
    ret;
}
.file 1 "here.py"
.file 2 "there.py"
"""


def with_body(text: str) -> str:
    return f".visible .entry k(.param .u64 x)\n{{\n.reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>;\n{text}\nret;\n}}"


def test_a_kernel_has_its_parameters_variables_and_statements_with_their_lines() -> None:
    kernel = parse(PTX)
    assert [(each.name, each.size, each.alignment) for each in kernel.parameters] == [("x", 8, 8), ("box", 24, 8), ("n", 4, 4)]
    assert [(each.name, each.space, each.size) for each in kernel.variables] == [
        ("table", "const", 8),
        ("cache", "shared", 64),
        ("flags", "shared", 8),
    ]
    found = [each for each in kernel.statements if isinstance(each, Instruction)]
    assert [each.opcode for each in found] == ["ld.param.u32", "setp.eq.s32", "bra", "st.shared.v2.b32", "bar.sync", "ret"]
    assert [each.line for each in found] == [17, 18, 19, 21, 23, 25]
    assert found[2].guard == "!%p1"
    assert found[3].operands == ("[flags]", "{%r1, %r1}")
    assert found[3].source == Source("here.py", 9)


def test_a_kernel_in_c_says_where_its_parameters_lie_and_how_often_each_block_runs() -> None:
    translation = translate(parse(PTX))
    assert "{0, 8}, {8, 24}, {32, 4}" in translation.code
    assert ".shared_bytes = 72" in translation.code
    assert "(64ull)" in translation.code  # flags lies behind cache
    assert [sum(block.values()) for block in translation.blocks] == [1, 2, 2, 1]
    assert translation.blocks[2] == Counter({"store shared": 1, "barrier": 1})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("atom.global.exch.b128 %rd1, [%rd2], %rd3;", "does not know atom.global.exch.b128"),
        ("mul.f16 %r1, %r2, %r3;", "mul.f16"),
        ("add.sat.s32 %r1, %r2, %r3;", "the modifier .sat of add.sat.s32"),
        ("mov.u32 %r1, %smid;", "%smid"),
        ("mov.u32 %r1, %clock.lo;", "the register %clock.lo"),
        ("bar.sync 1;", "the barrier 1"),
        ("barrier.cluster.arrive;", "barrier.cluster.arrive"),
        ("ld.relaxed.gpu.global.u32 %r1, [%rd1];", "the modifier .relaxed"),
        ("mov.u64 %rd1, nowhere;", "the operand nowhere"),
    ],
)
def test_what_the_device_does_not_know_is_an_error_that_names_it(body: str, named: str) -> None:
    with pytest.raises(PtxError) as caught:
        translate(parse(with_body(body)))
    message = str(caught.value)
    assert named in message
    assert "k: the PTX device does not know" in message
    assert "(line 4: " in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one .entry, got 0"),
        (".visible .entry k()\n{\nret;\n", "k: the kernel has no end"),
        (".func f()\n{\nret;\n}\n.visible .entry k()\n{\nret;\n}", "expected every function to be inlined"),
    ],
)
def test_what_is_no_inlined_kernel_is_refused(text: str, message: str) -> None:
    with pytest.raises(PtxError, match=message):
        parse(text)


def test_operands_are_cut_at_commas_outside_of_vectors_and_addresses() -> None:
    assert operands("{%r1, %r2}, [%rd1+4], 0f00000000") == ["{%r1, %r2}", "[%rd1+4]", "0f00000000"]


def test_a_mangled_name_reads_as_that_of_the_kernel() -> None:
    plain = "_ZN8numbacnn8backends4cuda5plain11activations5_reluB2v1B108cw51"
    assert demangled(plain) == "plain.activations._relu"
    factory = "_ZN8numbacnn8backends4cuda5tiled5dense12_make_kernel12_3clocals_3e8_productB2v2"
    assert demangled(factory) == "tiled.dense._product"
    assert demangled("cases") == "cases"


def test_instructions_are_counted_by_kind() -> None:
    texts = (
        "ld.global.nc.v4.f32",
        "st.shared.f32",
        "fma.rn.f32",
        "mad.lo.s32",
        "rem.s64",
        "div.rn.f32",
        "bar.sync",
        "cvt.s64.s32",
    )
    kinds = [kind_of(Instruction(text, (), "", 1, None)) for text in texts]
    assert kinds == ["load global", "store shared", "fma", "other", "division 64", "other", "barrier", "other"]


def test_the_table_of_counts_adds_up() -> None:
    counts = {
        name: Counter({"launches": 1, "fma": n, "load global": 1000}) for n, name in enumerate(("small", "middle", "large"))
    }
    lines = [line.split() for line in table(counts, 1).splitlines()]
    assert lines[0] == ["kernel", *COLUMNS]
    assert [line[0] for line in lines[1:]] == ["large", "2", "all"]
    assert figures(counts["large"])["all"] == 1002
    assert lines[-1][2:5] == ["3", "3,003", "3"]
