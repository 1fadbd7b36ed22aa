"""The production checklist: in come its lines and what runs; out comes a finding for each line, with evidence. Above backups and the watch, below the command."""
