"""One plain class for each page of the browser view."""
