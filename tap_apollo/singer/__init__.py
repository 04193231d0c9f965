"""What goes to the target: streams, records, schemas, state."""
