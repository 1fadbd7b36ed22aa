"""The report: in comes the record of one run, out comes one self-contained HTML page that leads with the verdict."""
