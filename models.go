package resnet18cloud

// Models is the JSON of GET /models: the models of a server that has several.
type Models struct {
	Default string        `json:"default"` // name that requests without one get
	Models  []ModelStatus `json:"models"`  // by name, then from the oldest version to the newest
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
	File     string     `json:"file"`               // name in the folder
	State    ModelState `json:"state"`              //
	Reason   string     `json:"reason,omitempty"`   // of the state, for people
	Identity string     `json:"identity,omitempty"` // as in Result.Model; empty if it is not loaded
	Classes  int        `json:"classes,omitempty"`
	Canary   *Canary    `json:"canary,omitempty"` // in state "canary", and after it
}

// Canary is the comparison of a new version with the one that serves. Both classified the same pictures.
type Canary struct {
	Against  string `json:"against"`  // version that the new one is compared with
	Compared int    `json:"compared"` // pictures
	Equal    int    `json:"equal"`    // of those, pictures with the same best label
	Slower   int    `json:"slower"`   // of those, pictures that took the new version more than the allowed factor as long
	Failed   int    `json:"failed"`   // pictures that only the new version failed to classify
	Skipped  int    `json:"skipped"`  // pictures of the share that were not compared, because others were waiting
}
