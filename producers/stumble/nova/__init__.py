"""The code that Nova loads: the notification driver, its options, and the tap on Nova's own action records.

It needs only the standard library, fastavro and the libraries that Nova depends on (oslo.config, oslo.messaging).

Start reading at ``driver``. Imports ``emitter``, ``translate``.
"""
