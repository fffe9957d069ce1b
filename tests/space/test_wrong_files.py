"""Wrong files are refused with file, line, what was found, what is allowed and the nearest right name."""

# ruff: noqa: E501  (tables of cases read best with one case a line)

from __future__ import annotations

import textwrap

import pytest

from autoreg.errors import InputError
from autoreg.space import LayerInfo, Registry, Space

GRAMMAR = {
    "a key given twice": ("a: 1\nb: 2\na: 3\n", "f.yaml:3: a: the key 'a' is given twice"),
    "a tag": ("a: 1\nb: !!python/object:os.system x\n", "f.yaml:2: b: found the tag '!!python/object:os.system'"),
    "null": ("a: 1\nb:\nc: 2\n", 'f.yaml:2: b: found nothing (null); allowed: a value; for "nothing" write none'),
    "a merge key": ("a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3: c: found the merge key '<<'"),
    "an alias without anchor": ("a: &one 1\nb: *won\n", "f.yaml:2: b: the alias '*won' has no anchor above it; allowed: *one"),
    "a list that never ends": ("a: 1\nb: [1, 2\n", "not valid YAML: expected ',' or ']'"),
    "a tab": ("a:\n\t- 1\n", "f.yaml:2: not valid YAML: found character '\\t'"),
    "two documents": ("a: 1\n---\nb: 1\n", "f.yaml:2: a second document begins; allowed: one document"),
    "an empty file": ("# nothing\n", "f.yaml: the file is empty; allowed: a mapping"),
    "a list for a space": ("- 1\n", "f.yaml:1: found [1]; allowed: a mapping of names to what may vary"),
    "any_of of nothing": ("a:\n  any_of: []\n", "f.yaml:2: a.any_of: found []; allowed: a list of methods"),
    "any_of of a number": ("a: {any_of: [b, 3]}\n", "f.yaml:1: a.any_of[1]: found 3; allowed: a name, or {name: {parameter: ...}}"),
    "any_of with an option twice": ("a:\n  any_of:\n    - b\n    - {b: {c: 1}}\n", "f.yaml:4: a.any_of[1]: the option 'b' is given twice; allowed: each option once"),
    "any_of with none": ("a: {any_of: [none, b]}\n", "f.yaml:1: a.any_of[0]: found none; allowed: methods; none is what remains when all are off"),
    "a limit of none": ("a:\n  any_of: [b, c]\n  at_most: 0\n", "f.yaml:3: a.at_most: found 0; allowed: a whole number from 1 (there are 2)"),
    "half a limit": ("a: {any_of: [b, c], at_most: 1.5}\n", "a.at_most: found 1.5; allowed: a whole number from 1"),
    "a limit that is true": ("a: {any_of: [b, c], at_most: true}\n", "a.at_most: found true; allowed: a whole number from 1"),
    "a limit misspelt": ("a: {any_of: [b], atmost: 1}\n", "f.yaml:1: a.any_of: 'any_of' stands beside 'atmost'; allowed: {any_of: ...} alone ('any_of' is a reserved word); did you mean 'at_most'?"),
    "any_of among options": ("a: [none, {any_of: [b]}]\n", "f.yaml:1: a[1].any_of: 'any_of' stands among the options of a list; allowed: NAME: {any_of: [...]}, which may be none by itself"),
    "any_of at the top": ("any_of: [b]\n", "f.yaml:1: any_of: the word 'any_of' stands where a name is expected"),
    "in something that is no name": ("a: 1\nforbidden: [\"a in 3\"]\n", "what follows 'in'; allowed: a list of values, such as ['a', 'b'], or after a value a name"),
    "a number as key": ("a: 1\n4: 2\n", "f.yaml:2: found the key 4, which is not text; allowed: quoted: \"4\""),
    "not a number": ("a: [1, .nan]\n", "f.yaml:1: a[1]: found .nan; allowed: finite numbers"),
    "a range of three": ("a:\n  log: [1, 2, 3]\n", "f.yaml:2: a.log: found log: [1, 2, 3]; allowed: two numbers, {log: [low, high]}"),
    "a range from zero on a log scale": ("a: {log: [0, 1]}\n", "f.yaml:1: a.log: low is 0.0; allowed: numbers above 0"),
    "a range upside down": ("a: {uniform: [2, 1]}\n", "f.yaml:1: a.uniform: low 2.0 is not below high 1.0"),
    "half numbers in a whole range": ("a: {int: [1.5, 3]}\n", "f.yaml:1: a.int: found int: [1.5, 3]; allowed: whole numbers"),
    "a range with one number": ("a: {uniform: 0.5}\n", "f.yaml:1: a.uniform: found {uniform: 0.5}; allowed: a range {uniform: [low, high]}"),
    "steps that miss the end": ("a: {int: [1, 10], step: 4}\n", "f.yaml:1: a.step: steps of 4 from 1 do not reach 10; allowed: an end that the steps reach, such as 9"),
    "step misspelt": ("a:\n  uniform: [0, 1]\n  stepp: 0.1\n", "f.yaml:3: a.stepp: 'stepp' stands beside 'uniform'; allowed: uniform, step; did you mean 'step'?"),
    "a range without a name": ("log: [1, 2]\n", "f.yaml:1: log: the word 'log' stands where a name is expected; allowed: NAME: {log: ...}"),
    "an empty choice": ("a: []\n", "f.yaml:1: a: found an empty list; allowed: at least one option"),
    "an option given twice": ("a:\n  - x\n  - y\n  - x\n", "f.yaml:4: a[2]: the option 'x' is given twice"),
    "a number and its text": ("a: [1, '1']\n", "f.yaml:1: a[1]: the option '1' is given twice"),
    "options that overlap": ("a: [3, {int: [1, 5]}]\n", "f.yaml:1: a[1]: the options '3' and 'int' have values in common"),
    "a list as option": ("a: [1, [2]]\n", "f.yaml:1: a[1]: found the list [2] as an option"),
    "an option with two keys": ("a: [{x: {}, y: {}}]\n", "f.yaml:1: a[0]: found an option with 2 keys (x, y); allowed: one key"),
    "an option with a bare value": ("a: [{l1: 0.1}]\n", "f.yaml:1: a[0].l1: found 0.1 as the parameters of 'l1'; allowed: {l1: {parameter: ...}}, or just l1"),
    "a reserved word in company": ("a: {value: 1, b: 2}\n", "f.yaml:1: a.value: 'value' stands beside 'b'"),
    "layers without patterns": ("a: {per_layer: 4}\n", "f.yaml:1: a.per_layer: found 4; allowed: a mapping of layer patterns"),
    "layers within layers": ("a: {per_layer: {x: {each_layer: [1, 2]}}}\n", "f.yaml:1: a.per_layer.x: layers within layers"),
    "a name that is a number": ("name: 3\n", "f.yaml:1: name: found 3; allowed: the name of the space, as text"),
    "one constraint": ("a: 1\nconstraints: flops <= 3\n", "f.yaml:2: constraints: found 'flops <= 3'; allowed: a list of expressions"),
    "a single equals sign": ("a: 1\nforbidden:\n  - a = 1\n", "f.yaml:3: forbidden[0]: 'a = 1' is no expression (invalid syntax"),
    "a call": ('constraints: ["__import__(\'os\') == 1"]\n', "f.yaml:1: constraints[0]: in \"__import__('os') == 1\": \"__import__('os')\" is not part of the grammar"),
    "a value for a condition": ("constraints: [flops * 2]\n", "f.yaml:1: constraints[0]: 'flops * 2' is a value, not a condition"),
}  # fmt: skip


@pytest.mark.parametrize("case", GRAMMAR)
def test_what_the_grammar_does_not_allow_is_refused_in_its_place(case: str) -> None:
    text, message = GRAMMAR[case]
    with pytest.raises(InputError) as error:
        Space.parse(text, "f.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


BINDING = {
    "a section misspelt": ("sparsty: none", "f.yaml:1: sparsty: unknown name 'sparsty'; allowed: regularizer, reparam, sparsity, quantization, layers, training; did you mean 'sparsity'?"),
    "a method misspelt in a list": ("regularizer:\n  - l1\n  - group_laso", "f.yaml:3: regularizer[1]: unknown regularizer 'group_laso'; allowed: l1, group_lasso, sam, none; did you mean 'group_lasso'?"),
    "a method misspelt alone": ("regularizer:\n  group-laso: {}", "f.yaml:2: regularizer.group-laso: unknown regularizer 'group-laso'; allowed: l1, group_lasso, sam, none; did you mean 'group_lasso'?"),
    "a parameter misspelt": ("regularizer:\n  - none\n  - l1: {strenght: 1}", "f.yaml:3: regularizer[1].l1.strenght: unknown parameter 'strenght' of the regularizer 'l1'; allowed: strength; did you mean 'strength'?"),
    "a method of another kind": ("sparsity:\n  - weight: {criterion: [magnitude, erk]}", "f.yaml:2: sparsity[0].weight.criterion[1]: unknown criterion 'erk'; allowed: magnitude, wanda, taylor, random"),
    "a kind of range misspelt": ("training:\n  lr: {lgo: [1e-4, 1e-1]}", "f.yaml:2: training.lr.lgo: found the mapping {lgo: ...} where a number is expected; allowed: numbers from 0 to 10; did you mean 'log'?"),
    "a word for a number": ("training: {lr: fast}", "f.yaml:1: training.lr: found 'fast' where a number is expected; allowed: numbers from 0 to 10"),
    "half an epoch": ("training: {epochs: 2.5}", "f.yaml:1: training.epochs: found 2.5 where a whole number is expected; allowed: whole numbers from 0"),
    "a truth value for a number": ("training: {epochs: true}", "f.yaml:1: training.epochs: found true where a whole number is expected"),
    "a number out of bounds": ("layers: {train: {fisher: {count: 99}}}", "f.yaml:1: layers.train.fisher.count: found 99, which is out of bounds; allowed: whole numbers from 1 to 8"),
    "a range out of bounds": ("training:\n  lr:\n    log: [1e-3, 100]", "f.yaml:3: training.lr.log: the range {log: [0.001, 100]} is out of bounds; allowed: numbers from 0 to 10"),
    "a whole range for a real number": ("training: {lr: {int: [1, 2]}}", "f.yaml:1: training.lr.int: found the range {int: [1, 2]} where a number is expected; allowed: a range of kind uniform or log"),
    "a word that is none of the options": ("training: {start: scrach}", "f.yaml:1: training.start: found 'scrach'; allowed: scratch, pretrained; did you mean 'scratch'?"),
    "bits that do not exist": ("quantization:\n  weights:\n    bits: [2, 5]", "f.yaml:3: quantization.weights.bits[1]: found 5; allowed: 2, 3, 4, 8, 32"),
    "a range over bits that do not exist": ("quantization: {weights: {bits: {int: [2, 9]}}}", "f.yaml:1: quantization.weights.bits.int: found the range {int: [2, 9]}, which holds other values than the allowed; allowed: 2, 3, 4, 8, 32"),
    "a list for a section": ("quantization: [none]", "f.yaml:1: quantization: found a list where a section is expected; allowed: a mapping with quantizer, weights, activations"),
    "two methods at once": ("sparsity: {weight: {}, channel: {}}", "f.yaml:1: sparsity: found the mapping {weight: ..., channel: ...} where a method is expected"),
    "several where there is one": ("sparsity:\n  any_of: [weight]", "f.yaml:2: sparsity.any_of: found any_of, but there is one structure at a time; allowed: a list of methods"),
    "a method misspelt among several": ("regularizer:\n  any_of:\n    - l1\n    - group_laso", "f.yaml:4: regularizer.any_of[1].group_laso: unknown regularizer 'group_laso'; allowed: l1, group_lasso, sam, none; did you mean 'group_lasso'?"),
    "a parameter misspelt among several": ("regularizer:\n  any_of:\n    - l1: {strenght: 1}", "f.yaml:3: regularizer.any_of[0].l1.strenght: unknown parameter 'strenght' of the regularizer 'l1'; allowed: strength; did you mean 'strength'?"),
    "the word misspelt": ("regularizer: {anyof: [l1]}", "where a method is expected; allowed: a method, {method: {parameter: ...}}, or a list of them; methods: l1, group_lasso, sam, none; did you mean 'any_of'?"),
    "the word misspelt beside a limit": ("regularizer: {any_off: [l1], at_most: 2}", "f.yaml:1: regularizer.any_off: unknown regularizer 'any_off'; allowed: l1, group_lasso, sam, none; did you mean 'any_of'?"),
    "a bare value among several": ("regularizer: {l1: 0.1, sam: {}}", "f.yaml:1: regularizer.l1: found 0.1 for 'l1'; allowed: methods, {method: {parameter: ...}}"),
    "none among several": ("regularizer: {l1: {}, none: {}}", "f.yaml:1: regularizer.none: found none among several"),
    "a rule about a method that is never in": ("regularizer: {any_of: [l1]}\nforbidden:\n  - \"'l2' in regularizer\"", "f.yaml:3: forbidden[0]: in \"'l2' in regularizer\": regularizer is never 'l2'"),
    "a bare value for a method's parameters": ("regularizer: {l1: 0.1}", "f.yaml:1: regularizer.l1: found 0.1 as the parameters of 'l1'; allowed: {l1: {strength: ...}}, or just l1"),
    "a number for a method": ("regularizer: [none, 3]", "f.yaml:1: regularizer[1]: found 3 where a method is expected; allowed: l1, group_lasso, sam, none"),
    "a range for a method": ("sparsity: {weight: {allocation: {uniform: [0, 1]}}}", "f.yaml:1: sparsity.weight.allocation: found the range {uniform: [0, 1]} where a method is expected"),
    "none where something is needed": ("layers: {train: none}", "f.yaml:1: layers.train: unknown train 'none'; allowed: all, fisher, norm_only"),
    "parameters of none": ("sparsity: [{none: {amount: 0.5}}]", "f.yaml:1: sparsity[0].none.amount: unknown parameter 'amount' of the structure 'none'; allowed: nothing"),
    "values by layer where there is one": ("quantization: {activations: {bits: {each_layer: [8, 32]}}}", "f.yaml:1: quantization.activations.bits.each_layer: found each_layer, but all layers share one value here; allowed: 8, 32"),
    "a pattern misspelt": ("quantization:\n  weights:\n    bits:\n      per_layer:\n        blcks.*: 4\n        '*': 8", "f.yaml:5: quantization.weights.bits.per_layer.blcks.*: the pattern 'blcks.*' matches none of the 4 weighted layers; allowed: blocks.*,"),
    "a type misspelt": ("quantization: {weights: {bits: {per_layer: {'type:Linera': 4, '*': 8}}}}", "allowed: type:Conv2d, type:Linear; did you mean 'type:Linear'?"),
    "a layer without value": ("quantization: {weights: {bits: {per_layer: {'stem.*': 4}}}}", "f.yaml:1: quantization.weights.bits.per_layer: no pattern matches the layer 'blocks.0.conv' (Conv2d); allowed: patterns that cover every layer"),
    "a pattern that never wins": ("quantization: {weights: {bits: {per_layer: {'*': 4, head: 8}}}}", "f.yaml:1: quantization.weights.bits.per_layer.head: the pattern 'head' never wins"),
    "a rule with a name misspelt": ("forbidden:\n  - training.strat == 'scratch'", "f.yaml:2: forbidden[0]: unknown name 'training.strat' in \"training.strat == 'scratch'\"; allowed: training.start,"),
    "a rule with half a name": ("forbidden: [lr > 0.1]", "did you mean 'training.lr'?"),
    "a rule with a value misspelt": ("forbidden: [\"layers.train != 'al'\"]", "f.yaml:1: forbidden[0]: in \"layers.train != 'al'\": layers.train is never 'al'; allowed: all, fisher, norm_only, none; did you mean 'all'?"),
}  # fmt: skip


@pytest.mark.parametrize("case", BINDING)
def test_what_the_registry_does_not_allow_is_refused_in_its_place(
    case: str, registry: Registry, layers: tuple[LayerInfo, ...]
) -> None:
    text, message = BINDING[case]
    space = Space.parse(text + "\n", "f.yaml")
    with pytest.raises(InputError) as error:
        space.bind(registry, layers)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_dict_is_refused_with_its_path_where_a_file_has_lines(registry: Registry) -> None:
    with pytest.raises(InputError, match=r"^space: training\.lr: found 'fast'"):
        Space.from_dict({"training": {"lr": "fast"}}).bind(registry)
    with pytest.raises(InputError, match=r"^mine: x\[1\]: found nothing \(null\)"):
        Space.from_dict({"x": [1, None]}, name="mine")


def test_defaults_of_a_task_are_checked_too(registry: Registry) -> None:
    with pytest.raises(InputError, match=r"defaults: unknown parameter 'training\.lrr'.*did you mean 'training\.lr'\?"):
        Space.from_dict({}).bind(registry, defaults={"training.lrr": 0.1})
    with pytest.raises(InputError, match=r"defaults: training\.lr: found 99\.0, which is out of bounds"):
        Space.from_dict({}).bind(registry, defaults={"training.lr": 99})


def test_aliases_cannot_blow_up_a_small_file() -> None:
    bomb = "a0: &a0 [x, y]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    with pytest.raises(InputError, match="too large to be meant"):
        Space.parse(bomb)
    with pytest.raises(InputError, match="nested too deeply"):
        Space.parse("a: " + "[" * 500 + "]" * 500)


def test_an_alias_stands_for_what_its_anchor_holds() -> None:
    text = textwrap.dedent("""
        a: &bits [4, 8]
        b: *bits
    """)
    assert Space.parse(text) == Space.from_dict({"a": [4, 8], "b": [4, 8]})


def test_a_missing_or_unreadable_file_is_refused_by_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"nowhere\.yaml: there is no such file"):
        Space.load(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="this is a folder"):
        Space.load(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        Space.load(tmp_path / "bytes.yaml")
