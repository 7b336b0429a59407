"""The studio: a page in the browser that shows the face talk, and the viewer that the HTML export shares with it."""
