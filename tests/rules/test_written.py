import json

import pytest

from assay.errors import UsageError
from assay.rules.written import read_written


def test_rule_lists_come_by_unit(tmp_path):
    path = tmp_path / "mine.json"
    when = [{"slot": "token", "any_of": [" Monday"]}]
    path.write_text(json.dumps({"L1.mlp_act:7": {"rules": [{"when": when, "value": 2}]}}))
    found = read_written(path)
    assert list(found) == ["L1.mlp_act:7"]
    assert found["L1.mlp_act:7"].rules[0].value == 2.0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "can't read"),
        ("{", "is not JSON"),
        ("[]", "must hold an object"),
        ("{}", "must hold an object"),
        ('{"L1.mlp_act": {"rules": []}}', "is not a unit"),
        ('{"L1.mlp_act:7": {}}', "L1.mlp_act:7: a rule list needs 'rules'"),
        ('{"L1.mlp_act:7": {"rules": [{"when": [{"slot": "tokn", "any_of": ["a"]}], "value": 1}]}}', "'token'?"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path, content, says):
    path = tmp_path / "mine.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=says) as caught:
        read_written(path)
    assert "\n" not in str(caught.value)
