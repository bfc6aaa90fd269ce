"""nova-api for a WSGI server: Nova's own entry point, with the other services' clients replaced."""

from __future__ import annotations

import os
import pathlib

from nova.wsgi.osapi_compute import application  # first: it chooses green or native threads

from novaservices import serve, stubs

stubs.install(pathlib.Path(os.environ[serve.IMAGES]))

__all__ = ["application"]
