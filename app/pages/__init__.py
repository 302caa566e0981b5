"""The dashboard: pages by Jinja2, htmx and uPlot that read jobs, and call the routes of the API for every change."""
