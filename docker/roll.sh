#!/bin/bash
# Replaces the serving processes, one after the other: `docker/roll.sh [SERVICE...]`. The next is touched once the one before is ready again.
# COMPOSE_FILES are the stack's files, with spaces; the other variables are those of the stack's start.
set -eu -o pipefail
cd "$(dirname "$0")"
files=()
for file in ${COMPOSE_FILES:-compose.yaml}; do files+=(-f "$file"); done
compose() { "${DOCKER:-docker}" compose "${files[@]}" "$@"; }
ready='import urllib.request as r; r.urlopen("http://127.0.0.1:8080/readyz", timeout=4)'
[ $# -gt 0 ] || set -- serving-a serving-b
for service in "$@"; do
  compose up --detach --no-deps --no-build --force-recreate "$service"
  for ((tries = 0; ; tries++)); do
    # The proxy looks twice a second and wants two good answers.
    if compose exec -T "$service" python -c "$ready" 2> /dev/null; then sleep 2; break; fi
    if [ "$tries" -ge "${ROLL_TRIES:-120}" ]; then
      echo "$service is not ready; the others were left alone" >&2
      exit 1
    fi
    sleep 0.5
  done
  echo "$service is ready"
done
