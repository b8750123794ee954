"""Writes messages in a format of the user's own: the other direction of `own_format`."""

from edgewire.dialects.readings_encoder import ReadingsEncoder


class OwnFormatEncoder(ReadingsEncoder):
    """Says readings and events by mappings of the user's, and nothing else."""
