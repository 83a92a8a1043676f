"""A long sequence of trials that yields findings: units of work, supervised workers, a journal, one report."""
