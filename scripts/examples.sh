#!/usr/bin/env bash
# Runs the examples as a reader would: every curl and grpcurl line of the README and of the API guide
# against a devnet on its usual ports, and the TypeScript client.
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory tools
work=$(mktemp -d "${TMPDIR:-/tmp}/notary-examples-XXXXXX")
export NOTARY_RUNTIME=$work/runtime.json NOTARY_HOME=$work/wallets NOTARY_PASSPHRASE=examples
export PATH=$PWD/bin:$PWD/.tools/bin:$PATH

notaryd devnet --state "$work/state" >"$work/devnet.log" 2>&1 &
devnet=$!
trap 'kill -INT $devnet 2>/dev/null; wait $devnet 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 300); do [ -s "$NOTARY_RUNTIME" ] && break; sleep 0.1; done
[ -s "$NOTARY_RUNTIME" ] || { cat "$work/devnet.log" >&2; exit 1; }

notary wallet new --json >/dev/null
notary faucet --json >/dev/null
export ADDRESS TX ID
ADDRESS=$(notary address)
TX=$(notary send "$ADDRESS" 1 --output "$work/payment.notary" --json | sed -n 's/.*"transaction_id": "\([0-9a-f]*\)".*/\1/p')
ID=$(printf %s "$TX" | sed 's/../\\x&/g' | xargs -0 printf '%b' | base64)

n=0
for page in README.md docs/guides/api.md; do
	while IFS= read -r line; do
		rc=0
		bash -euo pipefail -c "$line" >"$work/out" 2>"$work/err" || rc=$?
		case "$line" in
		*-max-time*) [ "$rc" -eq 28 ] || [ "$rc" -eq 0 ] || grep -q DeadlineExceeded "$work/err" || rc=1 ;;
		*) ;;
		esac
		if [ "$rc" -ne 0 ] && ! [[ $line == *-max-time* && $rc -ne 1 ]] || ! [ -s "$work/out" ]; then
			printf 'example of %s failed (%s):\n  %s\n' "$page" "$rc" "$line" >&2
			cat "$work/out" "$work/err" >&2
			exit 1
		fi
		n=$((n + 1))
	done < <(sed -n 's/^    \(\(curl\|grpcurl\) .*127\.0\.0\.1:7701.*\)$/\1/p' "$page")
done
[ "$n" -ge 15 ] || { echo "only $n examples found" >&2; exit 1; }
echo "curl and grpcurl: $n examples work as written"

cd examples/typescript
npm ci --no-audit --no-fund --loglevel=error
npm start --silent
echo "examples: ok"
