"""Which units are stable on a domain, and how that is known."""
