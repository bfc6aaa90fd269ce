"""``mask_secrets``: the one function through which each text passes before it is written, sent or logged."""

from __future__ import annotations

from typing import Final

from stumble.wire.masking import commands, names, shapes, urls

#: Longest text that is returned; of a longer one the start and the end.
MAX_TEXT: Final = 32_768
_CUT: Final = "\n…[cut]…\n"
_HALF: Final = (MAX_TEXT - len(_CUT)) // 2
#: Text beyond the cut that is masked too, so that no secret loses its name or its beginning by the cut.
_MARGIN: Final = 4096
#: Parts of texts with secrets, in lower case, beside the names and the random words.
_TRIGGERS: Final = (
    *names.TRIGGERS,
    *commands.TRIGGERS,
    *("@", "$", "-----", "%", "bearer", "basic", "#cloud-config", "negotiate", "private-lines"),
)


class MaskedText(str):
    """A text that ``mask_secrets`` returned; masking it again costs nothing."""

    __slots__ = ()


def mask_secrets(text: str) -> MaskedText:
    """Return ``text`` with ``***`` in place of each secret, and without its middle if it is longer than ``MAX_TEXT``.

    The result is the same if it is masked again. It is text for people: a value that looks like a secret is replaced
    although it may be none.
    """
    if type(text) is MaskedText:
        return text
    if len(text) <= MAX_TEXT:
        return MaskedText(_CUT.join(map(_masked, text.split(_CUT))) if _CUT in text else _masked(text))
    start = _masked(text[: _HALF + _MARGIN])[:_HALF]
    end = _masked(text[-_HALF - _MARGIN :])[-_HALF:]
    return MaskedText(f"{start}{_CUT}{end}")


def _masked(text: str) -> str:
    lower = text.lower()
    if not (
        any(map(lower.__contains__, _TRIGGERS))
        or any(map(text.__contains__, shapes.TRIGGERS))
        or shapes.has_long_run(text)
    ):
        return text
    text = shapes.mask_shapes(urls.mask_urls(text))
    text = names.mask_named_values(commands.mask_commands(text))
    return urls.mask_bare_users(text)
