"""Text that others wrote, made fit to stand among our own words."""


def plain_text(text: str) -> str:
    """One line of printable text.

    A line break in a name could pass for a line of the e-mail, and a mark that turns the direction of writing could
    hide what it says.
    """
    printable = text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())
