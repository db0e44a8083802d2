"""What lasts: accounts, posts, chats and results, in SQLite or PostgreSQL."""
