#!/usr/bin/env bash
# A network of four real processes: pay, stamp, attack it with double spends, fetch proofs, stop every
# node, verify offline, and try forged proofs. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/notary-demo-XXXXXX")
export NOTARY_RUNTIME=$work/runtime.json NOTARY_HOME=$work/wallets NOTARY_PASSPHRASE=demo
devnet=
fifth=

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

finish() {
	code=$?
	trap - EXIT INT TERM
	if [ -n "$fifth" ] && kill -0 "$fifth" 2>/dev/null; then
		kill -TERM "$fifth"
		wait "$fifth" || true
	fi
	if [ -n "$devnet" ] && kill -0 "$devnet" 2>/dev/null; then
		kill -INT "$devnet"
		wait "$devnet" || true
	fi
	if [ "$code" -ne 0 ]; then
		printf '\ndemo: FAILED (exit %s)\n' "$code" >&2
		tail -n 20 "$work/devnet.log" "$work"/state/node*/node.log >&2 2>/dev/null || true
	fi
	rm -rf "$work"
	exit "$code"
}
trap finish EXIT INT TERM

say "starting four notaries"
"$bin/notaryd" devnet --port 0 --state "$work/state" >"$work/devnet.log" 2>&1 &
devnet=$!
for _ in $(seq 300); do
	[ -s "$NOTARY_RUNTIME" ] && break
	kill -0 "$devnet" 2>/dev/null || { echo "the devnet ended while starting" >&2; exit 1; }
	sleep 0.1
done
[ -s "$NOTARY_RUNTIME" ]
cat "$work/devnet.log"
genesis=$work/genesis.bin
cp "$work/state/genesis.bin" "$genesis"

say "two wallets, and some money"
"$bin/notary" wallet new alice --json >/dev/null
"$bin/notary" wallet new bob --json >/dev/null
"$bin/notary" faucet --wallet alice
bob=$("$bin/notary" address --wallet bob)
"$bin/notary" send "$bob" 12.5 --wallet alice --output "$work/payment.notary"
"$bin/notary" balance --wallet bob

say "stamping a file"
printf 'I was here on %s\n' "$(date -u +%F)" >"$work/note.txt"
"$bin/notary" stamp "$work/note.txt" --wallet alice

say "spending coins twice, each side at another half of the network"
"$bin/notary" demo double-spend
"$bin/notary" demo double-spend --pairs 50

say "a fifth notary joins: the four label each other, two of them label it, and a link gives it weight"
"$bin/notaryd" devnet join "$work/state/node5" | tee "$work/join.txt"
"$bin/notaryd" run "$work/state/node5" >"$work/state/node5.log" 2>&1 &
fifth=$!
peer5=$(awk '/^peer/{print $2}' "$work/join.txt")
apis=$(sed -n 's/.*"api": "\([^"]*\)".*/\1/p' "$NOTARY_RUNTIME")
peers=$("$bin/notary" peers --json | sed -n 's/.*"peer_id": "\([^"]*\)".*/\1/p')
for api in $apis; do
	for peer in $peers; do
		"$bin/notary" --node "$api" trust set "$peer" 1000 >/dev/null 2>&1 || true # none labels itself
	done
done
for api in $(echo "$apis" | head -n 2); do
	"$bin/notary" --node "$api" trust set "$peer5" 1000
done
for _ in $(seq 150); do
	"$bin/notary" trust list >"$work/trust.txt"
	grep "^$peer5" "$work/trust.txt" | grep -qv ' 0\.0 % *[-0-9]*$' && break
	sleep 0.2
done
cat "$work/trust.txt"
grep "^$peer5" "$work/trust.txt" | grep -qv ' 0\.0 % *[-0-9]*$' || { echo "the fifth notary has no weight" >&2; exit 1; }
"$bin/notary" trust margin

say "how fast it is"
"$bin/notary" bench --sequential 50

say "killing a node under load; it comes back and contradicts nothing"
"$bin/notary" bench --rate 50 --duration 6s >"$work/bench.txt" 2>&1 &
bench=$!
sleep 1.5
kill -9 "$(cat "$work/state/node4/node.pid")"
sleep 1
"$bin/notaryd" run "$work/state/node4" >>"$work/state/node4/node.log" 2>&1 &
back=$!
wait "$bench" || { cat "$work/bench.txt"; exit 1; }
cat "$work/bench.txt"
for _ in $(seq 100); do
	counts=$("$bin/notaryd" status | awk '/^ledger/{print $2}' | sort -u | wc -l)
	[ "$counts" = 1 ] && break
	sleep 0.2
done
"$bin/notaryd" status | grep -E '^(node  |ledger)'
[ "$counts" = 1 ] || { echo "the nodes hold different ledgers" >&2; exit 1; }

say "stopping every node"
kill -TERM "$back" "$fifth"
wait "$back" "$fifth" || true
fifth=
kill -INT "$devnet"
wait "$devnet" || true
devnet=
for pid in "$work"/state/node*/node.pid; do
	if kill -0 "$(cat "$pid")" 2>/dev/null; then echo "a node still runs" >&2; exit 1; fi
done

say "verifying offline, with no process left"
"$bin/notary" proof verify "$work/payment.notary" --genesis "$genesis"
"$bin/notary" verify "$work/note.txt" --genesis "$genesis"

say "forging the proof: one byte changed in each part"
"$bin/notary" demo forge "$work/note.txt.notary" --genesis "$genesis"
printf 'tampered\n' >>"$work/note.txt"
if "$bin/notary" verify "$work/note.txt" --genesis "$genesis"; then
	echo "a changed file passed" >&2
	exit 1
fi

printf '\ndemo: ok\n'
