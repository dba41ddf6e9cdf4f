"""Programs that measure cloudmasterd beside what people would do without it; not shipped."""
