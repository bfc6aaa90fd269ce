"""Adapts the OpenAPI document to the API's real error responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request

from stumble.api.asyncapi import document
from stumble.api.models import Problem

if TYPE_CHECKING:
    from fastapi import FastAPI


router = APIRouter(include_in_schema=False)


@router.get("/asyncapi.json")
async def asyncapi(request: Request) -> dict[str, Any]:
    """Return the AsyncAPI document of the topics under their configured names."""
    return document(request.app.state.settings.kafka.topics)


def install(app: FastAPI) -> None:
    """Describe the app's errors as problems: invalid input is 400 here, not FastAPI's 422."""
    original = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            result = original()
            schemas = result.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = Problem.model_json_schema()
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for operations in result["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
            app.openapi_schema = result
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to extend it
