"""Who is who, where a request comes from, and how often it may come."""
