"""Replaces keystonemiddleware in api-paste.ini: a token is ``user:project:role,role``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def filter_factory(_global_conf: dict[str, str], **_local_conf: str) -> Callable[[Any], Any]:
    """Return paste's filter."""

    def wrap(application: Any) -> Any:
        def call(environ: dict[str, Any], start_response: Any) -> Any:
            user, project, roles = environ["HTTP_X_AUTH_TOKEN"].split(":")
            environ.update(
                HTTP_X_IDENTITY_STATUS="Confirmed",
                HTTP_X_USER_ID=user,
                HTTP_X_PROJECT_ID=project,
                HTTP_X_ROLES=roles,
            )
            return application(environ, start_response)

        return call

    return wrap
