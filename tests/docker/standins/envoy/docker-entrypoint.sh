#!/usr/bin/env sh
# Options alone are envoy's; root becomes the user `envoy` (or ENVOY_UID), unless ENVOY_UID is 0.
set -e
case "$1" in -*) set -- envoy "$@" ;; esac
if [ "$1" = envoy ] && [ -n "$loglevel" ]; then set -- "$@" --log-level "$loglevel"; fi
if [ "$(id -u)" = 0 ] && [ "$ENVOY_UID" != 0 ]; then
  chown envoy:envoy /dev/stdout /dev/stderr
  exec setpriv --reuid="${ENVOY_UID:-envoy}" --regid="${ENVOY_GID:-envoy}" --clear-groups -- "$@"
fi
exec "$@"
