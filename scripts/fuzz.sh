#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: scripts/fuzz.sh 3000x, or 60s. Counts are exact;
# with a duration, Go now and then ends a run that found nothing with "context deadline exceeded".
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
fuzztime=${1:-3000x}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
n=0
while IFS=: read -r file target; do
	if ! go test -run '^$' -fuzz "^${target}\$" -fuzztime "$fuzztime" -fuzzminimizetime 20x "./$(dirname "$file")" >"$out" 2>&1; then
		if ! grep -q 'context deadline exceeded' "$out" || grep -q 'Failing input' "$out"; then
			cat "$out" >&2
			echo "fuzz: $target in $file failed" >&2
			exit 1
		fi
	fi
	printf '%-24s %-40s %s\n' "$target" "$(dirname "$file")" "$(grep -o 'execs: [0-9]*' "$out" | tail -n 1)"
	n=$((n + 1))
done < <(git ls-files '*_test.go' | xargs grep -o -H -E '^func Fuzz[A-Za-z0-9_]+' | sed 's/:func /:/')
if [ "$n" -eq 0 ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
echo "fuzz: $n targets, $fuzztime each: ok"
