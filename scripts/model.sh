#!/usr/bin/env bash
# Checks the voting rules and the hand-over by exhaustive search (docs/spec/model/README.md):
#
#   scripts/model.sh [quick|full]   every run of the list, a line each; exits 1 if any differs from what is expected
#   scripts/model.sh show NAME      the counterexample of one run, step by step
#
# Needs spin and a C compiler; installs Debian's when they are missing and it may.
set -euo pipefail
cd "$(dirname "$0")/.."
models=$PWD/docs/spec/model
megabytes=${MODEL_MEMORY:-5500}

# name | when | model | macros | expected: pass, rivals (two rivals final) or stuck (something can never be decided)
runs='
rivals-r4                 | quick | voting   | -DROUNDS=4                                              | pass
rivals-r3-every-vote      | quick | voting   | -DROUNDS=3 -DEVERY_VOTE                                 | pass
rivals-r4-every-vote      | full  | voting   | -DROUNDS=4 -DEVERY_VOTE                                 | pass
rivals-no-n1              | quick | voting   | -DROUNDS=4 -DONLY_FINALS -DNO_N1                        | rivals
rivals-no-n2              | quick | voting   | -DROUNDS=4 -DONLY_FINALS -DNO_N2                        | rivals
rivals-no-n3              | quick | voting   | -DROUNDS=4 -DONLY_FINALS -DNO_N3                        | rivals
rivals-no-n4              | quick | voting   | -DROUNDS=4 -DONLY_FINALS -DNO_N4                        | rivals
rivals-latest-lock        | quick | voting   | -DROUNDS=4 -DONLY_FINALS -DLATEST_LOCK                  | rivals
rivals-first-lock         | quick | voting   | -DROUNDS=4 -DONLY_FINALS -DFIRST_LOCK                   | rivals
rivals-at-least           | quick | voting   | -DROUNDS=3 -DAT_LEAST                                   | pass
six-nodes                 | quick | voting   | -DROUNDS=2 -DHONEST=4 -DFAULTY=2                        | pass
six-nodes-r3              | full  | voting   | -DROUNDS=3 -DHONEST=4 -DFAULTY=2                        | pass
six-nodes-at-least        | quick | voting   | -DROUNDS=2 -DHONEST=4 -DFAULTY=2 -DONLY_FINALS -DAT_LEAST | rivals
chain-r2                  | quick | voting   | -DCHAIN -DROUNDS=2                                      | pass
chain-r2-every-vote       | quick | voting   | -DCHAIN -DROUNDS=2 -DEVERY_VOTE                         | pass
chain-r3                  | full  | voting   | -DCHAIN -DROUNDS=3                                      | pass
chain-no-n1               | quick | voting   | -DCHAIN -DROUNDS=2 -DONLY_FINALS -DNO_N1                | rivals
chain-no-n2               | quick | voting   | -DCHAIN -DROUNDS=2 -DONLY_FINALS -DNO_N2                | rivals
chain-no-n3               | quick | voting   | -DCHAIN -DROUNDS=2 -DONLY_FINALS -DNO_N3                | rivals
chain-no-n4               | quick | voting   | -DCHAIN -DROUNDS=2 -DONLY_FINALS -DNO_N4                | rivals
chain-keep-locks          | quick | voting   | -DCHAIN -DROUNDS=2 -DKEEP_LOCKS                         | stuck
link-same                 | quick | handover | -DGROUP_SAME -DB0=1 -DB1=2                              | pass
link-swapped              | quick | handover | -DGROUP_SWAPPED -DB0=1 -DB1=2                           | pass
link-drift                | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2                             | pass
link-moved                | quick | handover | -DGROUP_MOVED -DB0=1 -DB1=2                             | pass
link-replaced             | quick | handover | -DGROUP_REPLACED -DB0=1 -DB1=2                          | pass
link-swapped-r2           | quick | handover | -DGROUP_SWAPPED -DB0=2 -DB1=2                           | pass
link-same-r2              | full  | handover | -DGROUP_SAME -DB0=2 -DB1=2                              | pass
link-three-epochs         | quick | handover | -DEPOCHS=3 -DGROUP_THREE                                | pass
link-no-n1                | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DNO_N1                     | rivals
link-no-n2                | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DNO_N2                     | rivals
link-no-n3                | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DNO_N3                     | rivals
link-no-n4                | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DNO_N4                     | rivals
link-no-closing           | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DNO_CLOSING                | rivals
link-no-adoption          | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DNO_ADOPTION               | rivals
link-late-votes           | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DLATE_VOTES                | rivals
link-omit-final           | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DOMIT_FINAL                | rivals
link-flat-rounds          | quick | handover | -DGROUP_DRIFT -DB0=1 -DB1=2 -DFLAT_ROUNDS               | rivals
link-no-inherited         | quick | handover | -DEPOCHS=3 -DGROUP_THREE -DNO_INHERITED                 | rivals
link-close-absent         | quick | handover | -DEPOCHS=3 -DGROUP_THREE -DCLOSE_ABSENT                 | rivals
'

need() {
	command -v spin >/dev/null && command -v gcc >/dev/null && return
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		echo "model: needs spin and gcc (Debian: apt-get install spin gcc)" >&2
		exit 2
	fi
	{ apt-get install -y spin gcc libc6-dev || { apt-get update && apt-get install -y spin gcc libc6-dev; }; } >/dev/null
}

# check MODEL MACROS EXPECTED OPTIMISATION SLOTS: searches in the current directory with 2^SLOTS hash slots;
# sets got, states, seconds and memory (MB).
check() {
	local out=search.out begin end why
	cp "$models"/*.pml "$models"/*.h .
	# shellcheck disable=SC2086 # macros are words
	spin $2 -a "$1.pml" >spin.out || { cat spin.out >&2; exit 2; }
	gcc "$4" -w -DSAFETY -DNOFAIR -DNOREDUCE -DMEMLIM="$megabytes" -o pan pan.c
	begin=$(date +%s%N)
	nice -n 10 ./pan -m10000 "-w$5" >$out 2>&1 || true
	end=$(date +%s%N)
	seconds=$(((end - begin) / 100000000))
	seconds=$((seconds / 10)).$((seconds % 10))
	states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' $out)
	memory=$(awk '/total actual memory usage/ {printf "%d", $1}' $out)
	why=$(grep -m1 'assertion violated' $out || true)
	case "$why" in
	*wrong*) got=stuck ;;
	*final*) got=rivals ;;
	*) got=pass ;;
	esac
	if [ "$got" = pass ]; then # nothing found counts only if everything was searched
		grep -q 'errors: 0$' $out && ! grep -qE 'not completed|too small|out of memory|memory limit' $out || got=unfinished
	elif [ ! -s "$1.pml.trail" ]; then
		got=no-trail
	fi
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
need
mode=${1:-quick}
case "$mode" in
quick | full | show) ;;
*)
	echo "usage: scripts/model.sh [quick|full|show NAME]" >&2
	exit 2
	;;
esac

total=0 differ=0
[ "$mode" = show ] || printf '%-24s %-9s %-9s %12s %9s %6s\n' run expected got states seconds MB
while IFS='|' read -r name when model macros expected; do
	[ -n "$name" ] || continue
	name=${name// /} when=${when// /} model=${model// /} expected=${expected// /}
	if [ "$mode" = show ]; then
		[ "$name" = "${2:-}" ] || continue
	elif [ "$mode" = quick ] && [ "$when" = full ]; then
		continue
	fi
	mkdir "$work/$name" && cd "$work/$name"
	optimise=-O2 slots=22
	[ "$expected" = pass ] || optimise=-O1 # a short search ends before a better compiler does
	[ "$when" = quick ] || slots=26
	check "$model" "$macros" "$expected" "$optimise" "$slots"
	if [ "$mode" = show ]; then
		# shellcheck disable=SC2086
		[ "$got" = pass ] && echo "$name: no counterexample" || spin $macros -t -g -p "$model.pml"
		exit
	fi
	printf '%-24s %-9s %-9s %12s %9s %6s\n' "$name" "$expected" "$got" "$states" "$seconds" "$memory"
	total=$((total + 1))
	[ "$got" = "$expected" ] || differ=$((differ + 1))
	cd "$work" && rm -rf "${work:?}/$name"
done <<<"$runs"
if [ "$mode" = show ]; then
	echo "model: no run named '${2:-}'" >&2
	exit 2
fi
echo "model: $total runs, $differ differ"
[ "$differ" -eq 0 ]
