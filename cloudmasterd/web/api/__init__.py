"""One plain class for each REST resource: it returns a value or raises a CloudError."""
