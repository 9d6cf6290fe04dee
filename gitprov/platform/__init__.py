"""What the operating system gives us: durable files, locks, SQLite."""
