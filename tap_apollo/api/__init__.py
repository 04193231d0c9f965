"""How Apollo is asked: requests, credentials, rate limits, several requests at once, and what refusals mean."""
