#!/bin/sh
# Options or a configuration file alone are valkey-server's; root becomes the user `valkey`.
set -e
case "$1" in -* | *.conf) set -- valkey-server "$@" ;; esac
if [ "$1" = valkey-server ]; then
  if [ "$(id -u)" = 0 ]; then
    find . \! -user valkey -exec chown valkey '{}' +
    exec setpriv --reuid=valkey --regid=valkey --clear-groups -- "$0" "$@"
  fi
  if [ ! -w . ]; then
    echo "error: directory is not writable by current user ($(id -u))" >&2
    exit 1
  fi
fi
if [ "$(umask)" = 0022 ]; then umask 0077; fi
# shellcheck disable=SC2086 # these are words for the server
exec "$@" $VALKEY_EXTRA_FLAGS
