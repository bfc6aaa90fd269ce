"""Imports oslo.messaging for native threads.

Its dependency oslo.service uses eventlet unless another backend is set before any other import of it. Another
dependency imports eventlet only to check whether it is installed, which makes eventlet log its deprecation warning.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    import oslo_messaging
    from oslo_config import cfg

__all__ = ["cfg", "oslo_messaging"]
