"""The lines of text files that people write, as editors, bash, make and uv count them."""


def split_lines(text: str) -> list[str]:
    r"""Split at the ends of lines of Unix, Windows and old Macs, and nowhere else.

    str.splitlines also splits at form feeds, U+0085 and U+2028, which are common in what is pasted into a comment.

    >>> split_lines("a # b\u2028c\r\nd\x0c\n")
    ['a # b\u2028c', 'd\x0c']
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if not lines[-1] else lines
