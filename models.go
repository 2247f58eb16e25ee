package resnet18cloud

import "strings"

// Models is the JSON of GET /models: the models of a server.
type Models struct {
	Default string        `json:"default"` // name that requests without one get
	Models  []ModelStatus `json:"models"`  // by name, then from the oldest version to the newest
	// Replicas is the number of replicas that a dispatcher's list is about; 0 in that of a replica.
	Replicas int `json:"replicas,omitempty"`
	// Problem says why the folder could not be read; empty if it could. The models stay as they were.
	Problem string `json:"problem,omitempty"`
}

// ModelState is what a server does with a model.
type ModelState string

// The states of models.
const (
	ModelServing    ModelState = "serving"     // answers requests for its name
	ModelCanary     ModelState = "canary"      // is compared with the version that serves
	ModelLoaded     ModelState = "loaded"      // answers requests for its version only
	ModelRefused    ModelState = "refused"     // was not loaded, for Reason
	ModelRolledBack ModelState = "rolled back" // was compared and did not take over, for Reason
)

// ModelStates lists all states.
func ModelStates() []ModelState {
	return []ModelState{ModelServing, ModelCanary, ModelLoaded, ModelRefused, ModelRolledBack}
}

// ModelStatus is one version of a model.
type ModelStatus struct {
	Name     string     `json:"name"`
	Version  string     `json:"version,omitempty"`  // by the file's name, else the first digits of its hash; empty for files that could not be read
	File     string     `json:"file,omitempty"`     // name in the folder; empty if there is none
	State    ModelState `json:"state"`              //
	Reason   string     `json:"reason,omitempty"`   // of the state, for people
	Identity string     `json:"identity,omitempty"` // as in Result.Model; empty if it is not loaded
	Hash     string     `json:"hash,omitempty"`     // as ModelInfo.Version; empty if it is not loaded

	Precision     string `json:"precision,omitempty"`     // as in ModelInfo
	Preprocessing string `json:"preprocessing,omitempty"` // as in ModelInfo
	Activation    string `json:"activation,omitempty"`    // as in ModelInfo
	Classes       int    `json:"classes,omitempty"`       //
	Labels        int    `json:"labels,omitempty"`        // classes that have names: all or none

	Canary *Canary `json:"canary,omitempty"` // in state "canary", and after it
	// Replicas is the number of replicas where the model has this version, content and state, in a dispatcher's list.
	// While replicas change, a version has several entries.
	Replicas int `json:"replicas,omitempty"`
}

// Loaded reports whether the model answers requests that name its version.
func (s ModelStatus) Loaded() bool {
	return s.State == ModelServing || s.State == ModelCanary || s.State == ModelLoaded
}

// minHash is the fewest digits of a hash that name a version.
const minHash = 8

// Is reports whether a request may name the version so: by the file's name, or by eight digits or more of its hash.
func (s ModelStatus) Is(version string) bool {
	return s.Version == version || len(version) >= minHash && strings.HasPrefix(s.Hash, version)
}

// Canary is the comparison of a new version with the one that serves. Both classified the same pictures.
type Canary struct {
	// Share of the requests that are compared, above 0 to 1; 0 after the comparison.
	Share    float64 `json:"share,omitempty"`
	Against  string  `json:"against"`  // version that the new one is compared with
	Compared int     `json:"compared"` // pictures
	Equal    int     `json:"equal"`    // of those, pictures with the same best label
	Slower   int     `json:"slower"`   // of those, pictures that took the new version more than the allowed factor as long
	Failed   int     `json:"failed"`   // pictures that only the new version failed to classify
	Skipped  int     `json:"skipped"`  // pictures of the share that were not compared, because others were waiting
}

// CompareVersions orders versions as people do, with numbers by their values: 2 is older than 10, 1.9 than 1.10. The
// version of a file without one is older than all others. The result is negative if a is older than b.
func CompareVersions(a, b string) int {
	for a != "" && b != "" {
		if digit(a[0]) && digit(b[0]) {
			var x, y string
			x, a = cutNumber(a)
			y, b = cutNumber(b)
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

// cutNumber cuts the digits at the beginning of s, without leading zeros.
func cutNumber(s string) (number, rest string) {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return strings.TrimLeft(s[:n], "0"), s[n:]
}
