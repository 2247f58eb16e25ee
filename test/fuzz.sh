#!/bin/sh
# Runs every fuzz target of the repository for $FUZZTIME each (see make fuzz), with the go command in $GO.
#
# At the end of -fuzztime, the go command of Go 1.26 sometimes reports its own deadline as a failure of the target
# (golang/go#75804, mended in Go 1.27). That failure has no input, and is no failure here.
#
# Inputs that reach new code are made smaller by at most 10 runs each. With a second for each, which is most of -fuzztime, readers
# of weights found a tenth to a quarter as many. An input that fails is then hardly made smaller either, but seeds are short.
set -eu
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# only_deadline reports whether all that the target failed with is the deadline.
only_deadline() {
	! grep -q 'Failing input written to' "$output" &&
		grep -A1 '^--- FAIL: ' "$output" | tail -n +2 | grep -qx '    context deadline exceeded'
}

grep -rl '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
	for target in $(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$file"); do
		echo "$file $target"
		if ! "${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-60s}" -fuzzminimizetime 10x "$(dirname "$file")" >"$output" 2>&1; then
			cat "$output"
			only_deadline || exit 1
			echo "$target: nothing found; the failure is the end of -fuzztime (golang/go#75804)"
			continue
		fi
		cat "$output"
	done
done
