"""The expression grammar: values, truth, violations, names, and what it refuses."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.errors import InputError
from autoreg.space import Expression
from autoreg.space.expression import INACTIVE, Several

NAMES = {"flops": 40.0, "dense.flops": 100.0, "error": 0.1, "start": "scratch", "deep": True, 'sparsity["a.b"].c': 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("flops <= 0.5 * dense.flops", True),
        ("flops > 0.5 * dense.flops", False),
        ("2 ** 3 + 4 / 2 - 1", 9.0),
        ("-flops + 200_000", 199_960.0),
        ("start == 'scratch' and not error > 0.2", True),
        ("start in ['pretrained', 'scratch']", True),
        ("start not in ('pretrained', 'scratch')", False),
        ("0.05 < error <= 0.1", True),
        ("deep == true and deep == True", True),
        ("deep == 1", False),
        ("flops == 40", True),
        ("deep or error > 1", True),
        ("not deep", False),
        ('sparsity["a.b"].c == 3', True),
        ("start == 4", False),
        ("'scratch' == start", True),
    ],
)
def test_expressions_have_the_value_that_they_say(text: str, value: object) -> None:
    assert Expression.parse(text).evaluate(NAMES) == value


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("flops <= 0.5 * dense.flops", -10.0),
        ("flops <= 30", 10.0),
        ("flops >= 30", -10.0),
        ("flops >= 60", 20.0),
        ("flops == 37", 3.0),
        ("flops == 40", 0.0),
        ("flops != 40", 1.0),
        ("flops <= 30 and error <= 0.05", 10.0),
        ("flops <= 30 or error <= 0.1", 0.0),
        ("not flops > 30", 10.0),
        ("not (flops <= 30 or error <= 0.05)", -0.05),
        ("30 <= flops <= 35", 5.0),
        ("start == 'scratch'", 0.0),
        ("start == 'pretrained'", 1.0),
        ("deep", 0.0),
    ],
)
def test_the_violation_is_the_distance_to_being_met(text: str, violation: float) -> None:
    assert Expression.parse(text).violation(NAMES) == pytest.approx(violation)


@settings(deadline=None)  # the first example imports
@given(
    st.sampled_from(["a < b", "a <= b", "a > b", "a >= b", "a == b", "a != b", "not a < b", "not a == b",
                     "a < b and b < 3", "a < b or b < 3", "not (a < b and b < 3)", "not a < b < 3", "a in [1, 2]"]),
    st.sampled_from([-1e300, -1.0, 0.0, 1, 1.0, 2, 3.5, 1e300, 5e-324]),
    st.sampled_from([-1e300, -1.0, 0.0, 1, 2.0, 2, 3.5, 1e300, float("inf")]),
)  # fmt: skip
def test_a_violation_is_at_most_zero_exactly_when_the_condition_is_met(text: str, a: float, b: float) -> None:
    expression, names = Expression.parse(text), {"a": a, "b": b}
    assert (expression.violation(names) <= 0) == expression.evaluate(names)


def test_an_inactive_parameter_makes_its_comparison_false() -> None:
    names = {"a": INACTIVE, "b": 1}
    for text in ("a == 1", "a != 1", "a < 1", "1 < a", "a in [1]", "a not in [1]", "a + 1 == 2", "b < a < 3"):
        assert Expression.parse(text).evaluate(names) is False
    assert not Expression.parse("a").holds(names)
    assert Expression.parse("not a == 1").evaluate(names) is True
    assert Expression.parse("a == 1 or b == 1").evaluate(names) is True


def test_several_values_meet_a_comparison_when_one_of_them_does() -> None:
    names = {"bits": Several((2, 8))}
    assert Expression.parse("bits == 8").evaluate(names)
    assert Expression.parse("bits + 1 <= 3").evaluate(names)
    assert not Expression.parse("bits == 4").evaluate(names)


def test_names_are_dotted_and_joined_as_parameters_are() -> None:
    expression = Expression.parse("sparsity['2:4'].criterion == 'wanda' and dense.flops * flops < 3 and x in ['y']")
    assert expression.names == {"sparsity.2:4.criterion", "dense.flops", "flops", "x"}
    assert Expression.parse('["a.b"].c == 1').names == {'["a.b"].c'}
    assert expression.compared == (("sparsity.2:4.criterion", "wanda"), ("x", "y"))


@pytest.mark.parametrize(
    "text",
    ["f(x)", "x.y()", "lambda: 1", "[1, 2]", "{}", "x[0]", "x if y else z", "a == b == (c := 3)", "a // 2", "a % 2",
     "a | b", "a is b", "f'{x}'", "x == ...", "a in b", "a in 'abc'", "a = 1", "a && b", "1 +", "", "x == b'1'",
     "x == 1j",
     "*a",
     "await x", "x[y]", "x[1:2]", "a; b", "\0", "(" * 300 + "1" + ")" * 300,
     "a + " * 600 + "1"],
)  # fmt: skip
def test_what_is_not_of_the_grammar_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(InputError, match=r"^here: "):
        Expression.parse(text, "here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flop <= 3", "unknown name 'flop' in 'flop <= 3'.*did you mean 'flops'"),
        ("flops / (error - error) < 1", "division by zero"),
        ("start < 3", "'scratch' stands where a number is expected"),
        ("deep + 1 < 3", "True stands where a number is expected"),
        ("9.0 ** 9 ** 9 < 1", "give no finite number"),
        ("(0 - 8) ** 0.5 < 1", "give no finite number"),
        ("flops and deep", "where true or false is expected"),
    ],
)
def test_what_cannot_be_computed_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Expression.parse(text).evaluate(NAMES)


def test_expressions_compare_by_text_and_travel_between_processes() -> None:
    expression = Expression.parse("a <= 3", "here")
    assert expression == Expression.parse(" a <= 3 ", "there")
    assert str(expression) == "a <= 3"
    assert expression.names
    for again in (pickle.loads(pickle.dumps(expression)), copy.deepcopy(expression)):
        assert again == expression
        assert again.evaluate({"a": 2})


def test_is_condition_tells_conditions_from_values() -> None:
    assert Expression.parse("a < 1").is_condition
    assert Expression.parse("not a").is_condition
    assert not Expression.parse("0.5 * dense.flops").is_condition
