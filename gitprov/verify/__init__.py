"""Judging: evidence in, findings out. No file, no git, no network; `ops` gathers the evidence."""
