"""The documents about the API: OpenAPI with its real error responses, AsyncAPI, and the page `/docs`."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from stumble.api.asyncapi import document
from stumble.api.models import Problem

if TYPE_CHECKING:
    from fastapi import FastAPI


router = APIRouter(include_in_schema=False)


@router.get("/asyncapi.json")
async def asyncapi(request: Request) -> dict[str, Any]:
    """Return the AsyncAPI document of the topics under their configured names."""
    return document(request.app.state.settings.kafka.topics)


@router.get("/docs")
async def docs(request: Request) -> HTMLResponse:
    """Return the page on which the routes can be tried; it loads everything from this server."""
    folder = "/static-offline-docs"
    page = get_swagger_ui_html(
        openapi_url=request.app.openapi_url,
        title="stumble API",
        swagger_js_url=f"{folder}/swagger-ui-bundle.js",
        swagger_css_url=f"{folder}/swagger-ui.css",
        swagger_favicon_url=f"{folder}/favicon.png",
    )
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts)
    page.headers["Content-Security-Policy"] = (
        f"default-src 'self'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return page


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
