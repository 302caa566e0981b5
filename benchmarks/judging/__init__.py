"""How the judgements of labels and of people under two names were calibrated, and how often they are right."""
