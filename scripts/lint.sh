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
