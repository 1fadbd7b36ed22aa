"""Charts as inline SVG, drawn by hand: in come arrays, out comes markup that takes its colours from the page's style."""
