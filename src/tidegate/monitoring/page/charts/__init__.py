"""Charts that only the page of a monitoring run has, drawn on the canvas of the report."""
