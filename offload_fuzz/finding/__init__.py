"""From a failing case to a finding: examine, shrink, diagnose, identify, store, replay."""
