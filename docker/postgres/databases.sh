#!/bin/bash
# Databases and their owners, made when the cluster is new. Passwords come from the secrets and are in no command line.
set -eu -o pipefail
create() { # owner, database, secret
  local password
  password=$(tr -d '[:space:]' < "/run/secrets/$3")
  [ -n "$password" ] || { echo "secret $3 is empty" >&2; exit 1; }
  # psql quotes the variables; the heredoc is its standard input.
  PGPASSWORD_NEW=$password psql --set ON_ERROR_STOP=1 --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname postgres --set owner="$1" <<'SQL'
\getenv password PGPASSWORD_NEW
SELECT format('CREATE ROLE %I LOGIN', :'owner') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \gexec
ALTER ROLE :"owner" PASSWORD :'password';
SQL
  psql --set ON_ERROR_STOP=1 --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname postgres --set owner="$1" --set name="$2" <<'SQL'
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'owner') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
}
create prefect prefect prefect-database-password
create mlflow mlflow mlflow-database-password
create mlflow mlflow_accounts mlflow-database-password
create tidegate tidegate ledger-database-password
# Empty ones, which the restore drill fills and empties again.
create mlflow mlflow_drill mlflow-database-password
create tidegate tidegate_drill ledger-database-password
