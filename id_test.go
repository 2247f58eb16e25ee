package resnet18cloud_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
)

func TestParseID(t *testing.T) {
	t.Parallel()
	const id = "f18d7c0a-e37f-4f6c-b214-542dd751b0e3"
	tests := map[string]struct {
		text      string
		id        string // as parsed; empty if rejected
		canonical bool
	}{
		"canonical":            {id, id, true},
		"upper case":           {strings.ToUpper(id), id, false},
		"all zero":             {"00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000", true},
		"highest digits":       {"99999999-ffff-ffff-ffff-ffffffffffff", "99999999-ffff-ffff-ffff-ffffffffffff", true},
		"empty":                {"", "", false},
		"long":                 {strings.Repeat("a", 4200), "", false},
		"one short":            {id[:35], "", false},
		"one long":             {id + "0", "", false},
		"no hyphens":           {strings.ReplaceAll(id, "-", "") + "0000", "", false},
		"hyphen moved":         {"f18d7c0ae-37f-4f6c-b214-542dd751b0e3", "", false},
		"hyphen for a digit":   {"f18d7c0a-e37f-4f6c-b214-542dd751b0e-", "", false},
		"digit for a hyphen":   {"f18d7c0a-e37f-4f6c0b214-542dd751b0e3", "", false},
		"beyond f":             {"g18d7c0a-e37f-4f6c-b214-542dd751b0e3", "", false},
		"before a":             {"`18d7c0a-e37f-4f6c-b214-542dd751b0e3", "", false},
		"before 0":             {"/18d7c0a-e37f-4f6c-b214-542dd751b0e3", "", false},
		"after 9":              {":18d7c0a-e37f-4f6c-b214-542dd751b0e3", "", false},
		"wildcard":             {"f18d7c0a-e37f-4f6c-b214-542dd751b0e*", "", false},
		"token separator":      {"f18d7c0a-e37f-4f6c-b214-542dd751b0.3", "", false},
		"space":                {"f18d7c0a-e37f-4f6c-b214-542dd751b0 3", "", false},
		"line break":           {"f18d7c0a-e37f-4f6c-b214-542dd751b0\r\n", "", false},
		"braces":               {"{f18d7c0a-e37f-4f6c-b214-542dd751b0}", "", false},
		"Kelvin sign (lowers)": {"f18d7c0a-e37f-4f6c-b214-542dd751b\u212a", "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if id, ok := resnet18cloud.ParseID(test.text); ok != (test.id != "") || id != test.id {
				t.Errorf("ParseID(%q) = %q, %t, want %q", test.text, id, ok, test.id)
			}
			err := resnet18cloud.CheckID(test.text)
			if (err == nil) != test.canonical || err != nil && !errors.Is(err, resnet18cloud.ErrID) {
				t.Errorf("CheckID(%q) = %v, want canonical %t", test.text, err, test.canonical)
			}
		})
	}
}
