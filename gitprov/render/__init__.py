"""Reports as text for people, as JSON for programs, as Markdown for pull requests."""
