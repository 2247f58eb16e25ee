package catalog

import (
	"fmt"
	"maps"
	"slices"
)

// kind is what is done with a file.
type kind string

const (
	load   kind = "load"   // load it, and let it take over from what was loaded from the same file
	drop   kind = "drop"   // unload it: the file is gone
	refuse kind = "refuse" // do not load it
)

// action is one step from what is loaded to what is in the folder.
type action struct {
	kind   kind
	file   file
	reason string // of refuse
}

// look is what one look at the folder found, by file name.
type look map[string]file

// plan decides what to do with the files of a folder. known are the files that have been loaded or refused, with the
// content that they had then; before is the previous look. A file that is being copied changes from one look to the next,
// so a new content, and a missing file, count when two looks agree:
//
//	look   trash@2          known              action
//	1      10 MB            -                  -      (differs from the previous look)
//	2      45 MB            -                  -
//	3      45 MB            -                  load
//	4      45 MB            trash@2, 45 MB     -
//
// With now set they count at once. Files are loaded from the oldest version to the newest, so that the newest takes
// over last.
func plan(found, before look, known map[string]file, now bool) (actions []action) {
	for base, f := range known {
		_, there := found[base]
		_, was := before[base]
		if !there && (now || !was) {
			actions = append(actions, action{kind: drop, file: f})
		}
	}
	ids := map[[2]string]string{} // file by name and version
	for _, base := range slices.Sorted(maps.Keys(found)) {
		f := found[base]
		id := [2]string{f.name, f.version}
		first, taken := ids[id]
		if !taken {
			ids[id] = base
		}
		if k, ok := known[base]; ok && k.stamp == f.stamp {
			continue
		}
		if previous, ok := before[base]; !now && (!ok || previous.stamp != f.stamp) {
			continue
		}
		if taken {
			actions = append(actions, action{refuse, f, fmt.Sprintf("%s has the same name and version; remove or rename one of them", first)})
			continue
		}
		actions = append(actions, action{kind: load, file: f})
	}
	slices.SortStableFunc(actions, func(a, b action) int {
		if a.kind != b.kind {
			return slices.Index(order, a.kind) - slices.Index(order, b.kind)
		}
		if a.file.name != b.file.name {
			return slices.Compare([]string{a.file.name}, []string{b.file.name})
		}
		return compareVersions(a.file.version, b.file.version)
	})
	return actions
}

// order is that of the kinds of actions: new versions take over before old ones are dropped, so that a name always
// stands for a model.
var order = []kind{refuse, load, drop}
