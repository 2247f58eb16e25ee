package target

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// LabelAt returns a function that reads the label at a path in JSON answers: keys and indices separated by dots, such
// as predictions.0. See [HTTP.Label].
func LabelAt(path string) func(answer []byte) (string, error) {
	steps := strings.Split(path, ".")
	return func(answer []byte) (string, error) {
		var value any
		if err := json.Unmarshal(answer, &value); err != nil {
			return "", err
		}
		for _, step := range steps {
			switch v := value.(type) {
			case map[string]any:
				value = v[step]
			case []any:
				i, err := strconv.Atoi(step)
				if err != nil || i < 0 || i >= len(v) {
					return "", fmt.Errorf("label path %s: no element %q in an array of %d", path, step, len(v))
				}
				value = v[i]
			default:
				return "", fmt.Errorf("label path %s: nothing at %q", path, step)
			}
		}
		label, ok := value.(string)
		if !ok {
			return "", errors.New("label path " + path + ": not a string")
		}
		return label, nil
	}
}
