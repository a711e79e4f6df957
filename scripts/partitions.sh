#!/usr/bin/env bash
# Four nodes on hosts of their own (network namespaces behind a switch in the test): cut links, lost, late and overtaking
# frames, and a check of what clients were told. One line of JSON a run; docs/reliability.md explains the figures.
# Needs root; installs Debian's iproute2 where ip is missing.
#
#   scripts/partitions.sh                  each way to cut once, 80 s
#   ROUNDS=20 scripts/partitions.sh        the long form
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 NOTARY_E2E_LOG=error NOTARY_NETLAB=1 NOTARY_SOAK_PARTITIONS=${ROUNDS:-1}
command -v ip >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends iproute2 >/dev/null; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
go test ./internal/netlab ./internal/e2e -count=1 -timeout "${TIMEOUT:-6h}" -v -run '^(TestLinks|TestPartitions|TestBadLinks)$' >"$log" 2>&1 || code=$?
sed -n 's/^soak //p' "$log"
if [ "$code" -ne 0 ] || grep -q -- '--- SKIP' "$log"; then
	grep -v 'reason=INTERNAL' "$log" | tail -n 60 >&2
	echo "partitions: FAILED" >&2
	exit 1
fi
