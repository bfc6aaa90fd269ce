"""What Nova loads: the notification driver, its options, and the tap on Nova's own action records.

Nothing here needs more than the standard library, fastavro and what Nova itself brings (oslo.config, oslo.messaging).

Start reading at ``driver``. Imports ``emitter``, ``translate``.
"""
