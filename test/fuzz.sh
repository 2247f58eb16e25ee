#!/bin/sh
# Runs every fuzz target below the given folders, such as ./engine, or of the repository, for $FUZZTIME each (see make fuzz), with the
# go command in $GO.
#
# go test -fuzz instruments, links and vets for each target, the standard library and NATS included. Here all test binaries are built in
# one go, and only this module's packages are instrumented: the rest is compiled already, and a target runs more often when fewer
# counters are compared after each run. Targets run as go test would run them: in the package's folder, which gets inputs that fail, and with
# the go command's cache of inputs that reach new code.
#
# At the end of -fuzztime, Go 1.26 sometimes reports its own deadline as a failure of the target (golang/go#75804, mended in Go 1.27).
# That failure has no input, and is no failure here.
#
# Inputs that reach new code are made smaller by at most 10 runs each. With a second for each, which is most of -fuzztime, readers
# of weights found a tenth to a quarter as many. An input that fails is then hardly made smaller either, but seeds are short.
set -eu
go=${GO:-go}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# only_deadline reports whether all that the target failed with is the deadline.
only_deadline() {
	! grep -q 'Failing input written to' "$dir/output" &&
		grep -A1 '^--- FAIL: ' "$dir/output" | tail -n +2 | grep -qx '    context deadline exceeded'
}

packages=$(grep -rl '^func Fuzz' --include='*_test.go' "${@:-.}" | xargs -n 1 dirname | sort -u)
inputs=$("$go" env GOCACHE)/fuzz
# shellcheck disable=SC2086 # they are words
"$go" test -c -gcflags="$("$go" list -m)/...=-d=libfuzzer" -ldflags=-w -o "$dir/" $packages
for package in $packages; do
	path=$("$go" list "$package")
	for target in $(cat "$package"/*_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p'); do
		echo "$package $target"
		if ! (cd "$package" && "$dir/$(basename "$path").test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "${FUZZTIME:-60s}" \
			-test.fuzzminimizetime 10x -test.fuzzcachedir "$inputs/$path" -test.paniconexit0) >"$dir/output" 2>&1; then
			cat "$dir/output"
			only_deadline || exit 1
			echo "$target: nothing found; the failure is the end of -fuzztime (golang/go#75804)"
			continue
		fi
		cat "$dir/output"
	done
done
