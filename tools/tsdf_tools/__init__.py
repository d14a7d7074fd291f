"""What the commands in tools/ are made of; they themselves only read arguments."""
