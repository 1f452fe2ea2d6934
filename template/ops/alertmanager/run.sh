#!/bin/sh
# The template owns this file; an update replaces it. Extension points: the variables below, in .env; another image or command
# in compose.override.yaml.
#
# Writes Alertmanager's configuration from the environment, and starts it. Pages and tickets go to ALERT_WEBHOOK, an address
# that takes Alertmanager's JSON, or by mail to ALERT_MAIL_TO over the server ALERT_SMTP (HOST:PORT), from ALERT_MAIL_FROM.
# ALERT_WATCHDOG is the address of whoever calls a person when the watchdog stops to come: a service outside of this machine.
set -eu
file=${ALERTMANAGER_CONFIG:-/tmp/alertmanager.yml}
umask 077

people() {
  if [ -n "${ALERT_WEBHOOK:-}" ]; then
    printf "    webhook_configs:\n      - {url: '%s', send_resolved: true}\n" "$ALERT_WEBHOOK"
  elif [ -n "${ALERT_MAIL_TO:-}" ]; then
    printf "    email_configs:\n      - {to: '%s', from: '%s', smarthost: '%s', send_resolved: true}\n" \
      "$ALERT_MAIL_TO" "${ALERT_MAIL_FROM:-$ALERT_MAIL_TO}" "${ALERT_SMTP:-localhost:25}"
  else
    echo "Neither ALERT_WEBHOOK nor ALERT_MAIL_TO is set in .env, so alerts reach nobody." >&2
  fi
}

watchdog() {
  if [ -n "${ALERT_WATCHDOG:-}" ]; then
    printf "    webhook_configs:\n      - {url: '%s', send_resolved: false}\n" "$ALERT_WATCHDOG"
  else
    echo "ALERT_WATCHDOG is not set in .env, so nobody notices when no alert can come any more." >&2
  fi
}

cat >"$file" <<END
route:
  receiver: people
  group_by: [alertname]
  group_wait: ${ALERT_GROUP_WAIT:-10s}
  group_interval: ${ALERT_GROUP_INTERVAL:-1m}
  repeat_interval: 4h
  routes:
    - {matchers: ['severity="none"'], receiver: nobody}
    - {matchers: ['severity="watchdog"'], receiver: watchdog, repeat_interval: 5m}
    - {matchers: ['severity="ticket"'], receiver: people, repeat_interval: 24h}
# Before gate 3 alerts call nobody. One alert that pages explains those of the same cause beside it.
inhibit_rules:
  - {source_matchers: ['alertname="BurnIn"'], target_matchers: ['severity=~"page|ticket"']}
  - {source_matchers: ['alertname="DatabaseDown"'], target_matchers: ['alertname=~"ErrorBudget.*|KnownItemsSilent"']}
  - {source_matchers: ['alertname="ServiceDown"'], target_matchers: ['alertname="KnownItemsSilent"']}
receivers:
  - name: nobody
  - name: people
$(people)
  - name: watchdog
$(watchdog)
END
program=$(command -v alertmanager || command -v prometheus-alertmanager)
exec "$program" --config.file="$file" "$@"
