"""What happened, what it cost, what people thought."""
