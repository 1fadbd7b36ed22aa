"""The report's sections: each takes the record and says, in words, tables and charts, what it means."""
