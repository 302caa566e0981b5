"""What requests and connections may take: bytes, time, places in a queue, a rate."""
