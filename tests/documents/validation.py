"""Values held against the schemas of a document, in its own words."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker


def problems(document: Mapping[str, Any], schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with the value; the schema may refer to the document's components."""
    whole = {**schema, "components": document["components"]}
    errors = Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(value)
    return [f"{list(error.absolute_path)}: {error.message}" for error in errors]
