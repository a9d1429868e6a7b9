"""What is approximated: functions on boxes with a modulus of continuity, from formulas or black boxes."""
