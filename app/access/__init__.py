"""Who may do what: API keys, sessions of browsers, scopes and callers."""
