"""What an operator decides: arguments and environment to frozen settings."""
