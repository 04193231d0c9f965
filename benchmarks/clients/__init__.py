"""The other clients, each as its own documentation would have it written, and no slower than it need be."""
