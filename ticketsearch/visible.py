r"""Text that says what it is and does nothing else.

Names come from plug-ins, from tasks, from module attributes and from files of strangers. A terminal obeys escape
sequences in them, a line break makes two lines of one, a change of direction hides what follows. So what is no visible
character is shown as Python writes it: ``\x1b``.
"""

from __future__ import annotations

from typing import Any


def visible(text: str, keep: str = "") -> str:
    """A text with every character that cannot be seen written out.

    Args:
        text: any.
        keep: characters left as they are, like line breaks.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _written(one) for one in text)


def visible_in(value: Any) -> Any:
    """A value made of JSON's types, with all of its texts visible, keys too."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible_in(key): visible_in(one) for key, one in value.items()}
    return [visible_in(one) for one in value] if isinstance(value, list) else value


def _written(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
