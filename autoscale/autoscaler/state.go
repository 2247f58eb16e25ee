package autoscaler

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// savedState is the content of the state file.
type savedState struct {
	Policy    string          `json:"policy"`
	At        time.Time       `json:"at"`
	State     json.RawMessage `json:"state"`
	Collected collected       `json:"collected"`
}

// save writes the state to a temporary file and renames it, so that the state file is always complete.
func (a *Autoscaler) save(now time.Time) error {
	if a.cfg.StateFile == "" {
		return nil
	}
	a.mu.Lock()
	state, err := a.policy.State()
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("save policy state: %w", err)
	}
	data, err := json.Marshal(savedState{a.policy.Name(), now, state, a.collect.ledger.state})
	if err != nil {
		return fmt.Errorf("save policy state: %w", err)
	}
	part := a.cfg.StateFile + ".part"
	if err := os.WriteFile(part, data, 0o600); err != nil {
		return fmt.Errorf("save policy state: %w", err)
	}
	if err := os.Rename(part, a.cfg.StateFile); err != nil {
		return fmt.Errorf("save policy state: %w", err)
	}
	return nil
}

// restore continues from the state file. A file of another policy, or a broken one, is ignored: the policy then does not
// scale down until its history is long enough.
func (a *Autoscaler) restore(now time.Time) error {
	if a.cfg.StateFile == "" {
		return nil
	}
	data, err := os.ReadFile(a.cfg.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read policy state: %w (use --state to choose another file)", err)
	}
	var saved savedState
	err = json.Unmarshal(data, &saved)
	switch {
	case err == nil && saved.Policy != a.policy.Name():
		err = fmt.Errorf("it belongs to policy %q", saved.Policy)
	case err == nil && saved.At.After(now.Add(time.Minute)):
		err = errors.New("its time is in the future")
	case err == nil:
		err = a.policy.Restore(saved.State)
	}
	if err != nil {
		a.cfg.Log.Warn("ignoring saved state", "file", a.cfg.StateFile, "error", err)
		a.policy = a.cfg.NewPolicy()
		return nil
	}
	a.collect.ledger.restore(saved.Collected, saved.At)
	return nil
}
