"""Generated from proto/; nothing but services.contracts imports it."""
