"""What goes to models and comes back from them, looked at: personal data, secrets, injections, unsafe output."""
