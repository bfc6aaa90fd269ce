"""The HTTP process: API and web pages in one application."""
