"""The stages of a proof of stability: functions of a `Run` that read and feed its table."""
