#!/usr/bin/env bash
# Crashes under load: simulated power cuts between any two changes to a node's disk, real kill -9 of real
# processes, and the same cuts on disks that lie about syncing, which must lose something. One line of
# JSON a run; docs/reliability.md explains the figures.
#
#   scripts/soak.sh                             200 power cuts, 20 kills
#   POWER=10000 KILLS=1000 scripts/soak.sh      the long form
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 NOTARY_E2E_LOG=error NOTARY_SOAK_POWER=${POWER:-200} NOTARY_SOAK_KILLS=${KILLS:-20}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
go test ./internal/e2e -count=1 -timeout "${TIMEOUT:-24h}" -v -run '^(TestPowerLoss|TestPowerLossControl|TestKillNine)$' >"$log" 2>&1 || code=$?
sed -n 's/^soak //p' "$log"
if [ "$code" -ne 0 ]; then
	grep -vE 'reason=INTERNAL|^ *--- PASS|^=== RUN' "$log" | tail -n 200 >&2
	echo "soak: FAILED" >&2
fi
exit "$code"
