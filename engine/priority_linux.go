package engine

import "golang.org/x/sys/unix"

// lowest is the lowest priority of a thread ("nice"): 15 parts of a CPU for each 1024 of one at the default priority.
const lowest = 19

// lowerPriority gives the calling thread the lowest priority. Linux keeps priorities by thread, unlike POSIX (setpriority(2)).
// Lowering is always allowed; where it is not, the thread keeps its priority.
func lowerPriority() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, lowest) }
