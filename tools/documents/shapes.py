"""From pydantic models to the JSON schemas of a document."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core import CoreSchema

Mode = Literal["validation", "serialization"]


class _Untitled(GenerateJsonSchema):
    """Without titles that only repeat the name of a field."""

    def field_title_should_be_set(self, schema: CoreSchema) -> bool:
        return False


def schemas_of(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Return the schema of each model, and of all they consist of, by name."""
    wanted: list[tuple[type[BaseModel], Mode]] = [(model, "validation") for model in models]
    template = "#/components/schemas/{model}"
    _, definitions = models_json_schema(wanted, ref_template=template, schema_generator=_Untitled)
    found: dict[str, Any] = definitions["$defs"]
    return found


def ref(model: type[BaseModel]) -> dict[str, str]:
    """Return the reference to a model's schema."""
    return {"$ref": f"#/components/schemas/{model.__name__}"}
