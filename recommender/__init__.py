"""The pure heart: history -> learner vector -> candidates -> ranked list with reasons. No I/O, no clock."""
