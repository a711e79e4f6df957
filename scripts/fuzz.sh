#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: scripts/fuzz.sh 5s
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0
fuzztime=${1:-5s}
n=0
while IFS=: read -r file target; do
	go test -run '^$' -fuzz "^${target}\$" -fuzztime "$fuzztime" -fuzzminimizetime 20x "./$(dirname "$file")" | grep -v '^fuzz: elapsed' || {
		echo "fuzz: $target in $file failed" >&2
		exit 1
	}
	n=$((n + 1))
done < <(git ls-files '*_test.go' | xargs grep -o -H -E '^func Fuzz[A-Za-z0-9_]+' | sed 's/:func /:/')
if [ "$n" -eq 0 ]; then
	echo "fuzz: no targets found" >&2
	exit 1
fi
echo "fuzz: $n targets, $fuzztime each: ok"
