#!/bin/bash
# Makes a cluster where there is none, by the variables that PostgreSQL's public image knows, and starts the server: `start-postgres postgres OPTION...`.
set -eu -o pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  # What a start left that was cut off before its end.
  rm -rf "$PGDATA" "$PGDATA.new"
  # shellcheck disable=SC2086
  initdb --pgdata="$PGDATA.new" --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --encoding=UTF8 --locale=C.UTF-8 ${POSTGRES_INITDB_ARGS:-} > /dev/null
  echo "host all all all scram-sha-256" >> "$PGDATA.new/pg_hba.conf"
  # The socket alone: nobody gets in before the databases are whole.
  pg_ctl --pgdata="$PGDATA.new" --wait --silent --options="-c listen_addresses='' -c unix_socket_directories=/run/postgresql" start
  for script in /docker-entrypoint-initdb.d/*.sh; do PGHOST=/run/postgresql bash "$script"; done
  pg_ctl --pgdata="$PGDATA.new" --wait --silent --mode=fast stop
  mv "$PGDATA.new" "$PGDATA"
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
