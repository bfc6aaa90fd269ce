"""oslo.messaging on native threads.

Its dependency oslo.service takes eventlet unless it is told otherwise before anything else imports it, and another
one imports eventlet only to look whether it is there, which makes eventlet announce its own end.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    import oslo_messaging
    from oslo_config import cfg

__all__ = ["cfg", "oslo_messaging"]
