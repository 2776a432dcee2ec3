#!/bin/sh
# Makes the database in an empty volume, then becomes the server.
set -eu

if [ "$1" = postgres ] && [ ! -d "$PGDATA" ]; then
    : "${POSTGRES_PASSWORD:?give a password: -e POSTGRES_PASSWORD}"
    # Whoever is killed on the way begins anew: only what is complete gets its name.
    new="$PGDATA.new"
    rm -rf "$new"
    printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
    initdb --pgdata="$new" --username="$PGUSER" --pwfile=/tmp/password \
        --auth-local=trust --auth-host=scram-sha-256 --no-instructions
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$new/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$new/postgresql.conf"
    echo "CREATE DATABASE \"$PGUSER\"" | postgres --single -c exit_on_error=on -D "$new" postgres > /dev/null
    postgres --single -c exit_on_error=on -D "$new" "$PGUSER" < /srv/schema.sql > /dev/null
    mv "$new" "$PGDATA"
fi
unset POSTGRES_PASSWORD
exec "$@"
