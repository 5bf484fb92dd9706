"""Headers of a dead letter, and of a record that is published again from one."""

from typing import Final

TOPIC: Final = "source-topic"
PARTITION: Final = "source-partition"
OFFSET: Final = "source-offset"
FIELD: Final = "field"
"""What is wrong with the record; empty: all of it."""
REASON: Final = "reason"
WHOLE_BYTES: Final = "whole-bytes"
"""Of a letter that was too large for its topic and is cut: the bytes of the record's value."""

RETRY_OF: Final = "retry-of"
"""On a record that was published again, and on its dead letter if it dies again: the position it first stood at."""
RETRIED_AS: Final = "retried-as"
"""On a note among the dead letters, beside the source of the letter it is about: the position of the retry."""
