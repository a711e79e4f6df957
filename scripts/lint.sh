#!/usr/bin/env bash
# Everything a machine can see without running the code.
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0

unformatted=$(git ls-files '*.go' | xargs gofmt -l)
if [ -n "$unformatted" ]; then
	echo "not gofmt-clean:" >&2
	echo "$unformatted" >&2
	exit 1
fi
go vet ./...
.tools/bin/staticcheck ./...

# Nodes of every architecture come to the same weights: no product in trust is fused with a sum (one rounding
# for both), as compilers for arm64 do unless a conversion stands between.
fused=$(GOARCH=arm64 go build -gcflags=-S ./trust ./trust/sparse 2>&1 | grep -E '[[:space:]]FN?M(ADD|SUB)' | grep -oE '[a-z]+\.go:[0-9]+' | sort -u || true)
if [ -n "$fused" ]; then
	echo "fused on arm64:" $fused >&2
	exit 1
fi

# The race detector ends processes that run a bubble's timers on two processors: internal/bubble.
if git grep -n 'synctest\.Test(' -- '*.go' ':!internal/bubble'; then
	echo "use bubble.Test" >&2
	exit 1
fi

.tools/bin/buf lint

# Generated code is what the protos say.
before=$(git ls-files -z proto api/gateway api/openapi | xargs -0 sha256sum)
make --no-print-directory proto
after=$(git ls-files -z proto api/gateway api/openapi | xargs -0 sha256sum)
if [ "$before" != "$after" ]; then
	echo "generated code was not up to date; it is now: commit it" >&2
	diff <(echo "$before") <(echo "$after") >&2 || true
	exit 1
fi
echo "lint: ok"
