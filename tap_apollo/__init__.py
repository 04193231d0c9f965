"""Singer tap for Apollo.io."""
