# Print from go test's output, verbose or not, only what belongs to tests that failed.

# Tests that run in parallel take turns: these lines say whose output follows.
/^=== (RUN|NAME|CONT|PAUSE) / { name = $3; under = 0; next }
/^ *--- FAIL: / {
	print
	printf "%s", said[$3]
	delete said[$3]
	under = 1
	next
}
/^ *--- (PASS|SKIP): / { next }
/^(panic|fatal error|SIG|FAIL|make|WARNING: DATA RACE|#)/ { print; under = 1; next }
under && /^(    |\t)/ { print; next }
{
	under = 0
	if (length(said[name]) < 4000) said[name] = said[name] substr($0, 1, 400) "\n"
}
