"""The sections of the page of a monitoring run, each a function from the record to what the template draws."""
