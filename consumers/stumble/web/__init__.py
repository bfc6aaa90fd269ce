"""Web pages: rendered here, no build step, a little script for what is live."""
