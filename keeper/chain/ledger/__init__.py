"""The durable truth of lanes and spend: SQLite, its schema, its books."""
