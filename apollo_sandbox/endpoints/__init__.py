"""What each endpoint answers: one function per controller action, listed in `app`."""
