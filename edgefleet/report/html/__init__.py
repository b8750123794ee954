"""Makes the report of a run, or of its verification, as one HTML file that needs nothing else, no network either.

`markup` escapes everything and puts tags around it, `charts` draws with SVG, `page` is the frame with its style,
`sections` are what both reports have. `run_page` and `verify_page` are the two reports, `files` writes them.
"""
