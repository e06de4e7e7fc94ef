"""Tables and their text: encodings, columns, labels."""
