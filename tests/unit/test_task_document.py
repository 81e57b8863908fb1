"""docs/task-yaml.md says what the schemas say, and the schemas say something about every field."""

from __future__ import annotations

from tests import taskdoc
from tests.oracle.corpus import all_fields


def test_the_document_is_true() -> None:
    assert taskdoc.DOC.read_text() == taskdoc.text(), "run `python -m tests.taskdoc`"


def test_every_field_describes_itself() -> None:
    silent = [field.name for field in all_fields() if not field.schema.get("description")]
    assert silent == []
    shown = [
        field.name
        for field in all_fields()
        if not field.schema.get("examples")
        and not field.schema.get("properties")
        and not field.schema.get("default")
        and field.schema.get("type") != "boolean"
    ]
    assert shown == []
