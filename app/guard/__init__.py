"""What every request passes before its route: host and origin, the caller's key or session, and the route's scope."""
