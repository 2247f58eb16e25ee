package forward

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud"
)

// listed returns a list with models written as "trash@2 serving 0a1b", the last being the hash and, after "weights-", the
// identity. The first one is the default.
func listed(models ...string) *resnet18cloud.Models {
	l := &resnet18cloud.Models{}
	for _, text := range models {
		id, rest, _ := strings.Cut(text, " ")
		at := strings.LastIndex(rest, " ")
		m := resnet18cloud.ModelStatus{State: resnet18cloud.ModelState(rest[:at]), Hash: rest[at+1:], Identity: "weights-" + rest[at+1:], Precision: "fp32"}
		m.Name, m.Version, _ = strings.Cut(id, "@")
		l.Models = append(l.Models, m)
	}
	if len(models) > 0 {
		l.Default = l.Models[0].Name
	}
	return l
}

func TestFind(t *testing.T) {
	t.Parallel()
	l := listed("trash@1 loaded 11111111aa", "trash@2 serving 22222222aa", "trash@3 canary 33333333aa", "trash@4 refused -", "trash@5 rolled back 55555555aa",
		"trash@2 loaded 66666666aa", "ants@1 serving 77777777aa", "bees@1 loaded 88888888aa")
	for model, want := range map[string]string{
		"": "22222222aa", "trash": "22222222aa", "trash@2": "22222222aa", "trash@22222222": "22222222aa", "trash@22222222aa": "22222222aa",
		"trash@1": "11111111aa", "trash@3": "33333333aa", "trash@66666666": "66666666aa", "ants": "77777777aa", "bees@1": "88888888aa",
		"trash@4": "", "trash@5": "", "trash@2222222": "", "bees": "", "flies": "", "ants@2": "",
	} {
		got, ok := find(l, model)
		if got.Hash != want || ok != (want != "") {
			t.Errorf("model %q: %q, %t, want %q", model, got.Hash, ok, want)
		}
	}
	if _, ok := find(nil, ""); ok {
		t.Error("a replica that lists nothing has a model")
	}
	for _, test := range []struct {
		model, hash string
		want        bool
	}{
		{"", "22222222aa", true}, {"trash", "22222222aa", true}, {"trash", "33333333aa", true}, {"", "33333333aa", true}, {"trash@1", "11111111aa", true},
		{"trash", "11111111aa", false}, {"ants", "33333333aa", false}, {"ants", "22222222aa", false}, {"flies", "22222222aa", false},
	} {
		if got := expects(l, test.model, Model{"weights-" + test.hash, "fp32", test.hash}); got != test.want {
			t.Errorf("answer of %s to a request for %q: expected %t, want %t", test.hash, test.model, got, test.want)
		}
	}
	if expects(l, "trash", Model{"weights-22222222aa", "int8", "22222222aa"}) {
		t.Error("an answer in another precision is expected")
	}
}

// TestLacking checks when a request cannot be forwarded, and whether waiting may help.
func TestLacking(t *testing.T) {
	t.Parallel()
	trash, ants := listed("trash@1 loaded 11111111aa", "trash@2 serving 22222222aa"), listed("ants@1 serving 77777777aa", "trash@10 loaded 33333333aa")
	for name, test := range map[string]struct {
		model     string
		endpoints []teller
		want      string
	}{
		"default":          {"", []teller{{true, nil}}, ""},
		"default, no one":  {"", nil, "unavailable: No replica is reachable"},
		"none healthy":     {"trash", []teller{{false, trash}}, "unavailable: No replica is reachable"},
		"one has it":       {"trash", []teller{{true, ants}, {true, trash}}, ""},
		"it is away":       {"trash", []teller{{true, ants}, {false, trash}}, `unavailable: No replica with model "trash" is reachable`},
		"none has it":      {"bees", []teller{{true, ants}, {false, nil}, {true, trash}, {true, trash}}, `not_found: There is no model "bees"; use one of: ants, trash`},
		"another version":  {"trash@3", []teller{{true, ants}, {true, trash}}, `not_found: Model trash has no version "3"; use one of: 1, 2, 10`},
		"only versions":    {"trash", []teller{{true, ants}}, `not_found: Model trash has no version that serves; use one of: 10`},
		"none tells":       {"trash", []teller{{true, nil}, {true, nil}}, "not_found: The replicas do not tell their models; leave out"},
		"one of two tells": {"bees", []teller{{true, nil}, {true, ants}}, `not_found: There is no model "bees"; use one of: ants`},
	} {
		got := ""
		if err := lacking(test.model, test.endpoints); err != nil {
			e := resnet18cloud.AsError(err)
			got = fmt.Sprintf("%s: %s; %s", e.Code, e.Message, e.Hint)
		}
		if !strings.HasPrefix(got, test.want) || (test.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestMerge checks that what replicas have in common is said once, and what differs is visible.
func TestMerge(t *testing.T) {
	t.Parallel()
	old := listed("trash@1 loaded 11111111aa", "trash@2 serving 22222222aa")
	old.Default = "trash"
	canary := listed("trash@2 serving 22222222aa", "trash@10 canary 33333333aa")
	canary.Models[1].Canary, canary.Models[1].Reason = &resnet18cloud.Canary{Share: 0.1, Against: "2", Compared: 3, Equal: 2}, "one"
	also := listed("trash@2 serving 22222222aa", "trash@10 canary 33333333aa", "ants@1 serving 77777777aa")
	also.Models[1].Canary, also.Models[1].Reason, also.Problem = &resnet18cloud.Canary{Share: 0.1, Against: "2", Compared: 4, Equal: 4, Slower: 1, Failed: 2, Skipped: 3}, "other", "no folder"
	got := merge([]*resnet18cloud.Models{old, canary, also})
	want := listed("ants@1 serving 77777777aa", "trash@1 loaded 11111111aa", "trash@2 serving 22222222aa", "trash@10 canary 33333333aa")
	want.Default, want.Problem, want.Replicas = "trash", "no folder", 3
	for i, n := range []int{1, 1, 3, 2} {
		want.Models[i].Replicas = n
	}
	want.Models[3].Canary = &resnet18cloud.Canary{Share: 0.1, Against: "2", Compared: 7, Equal: 6, Slower: 1, Failed: 2, Skipped: 3}
	want.Models[3].Reason = "one"
	if diff := cmp.Diff(*want, got); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if canary.Models[1].Canary.Compared != 3 || canary.Models[1].Replicas != 0 {
		t.Error("merge has modified a list")
	}
	serving := listed("trash@2 loaded 22222222aa", "trash@10 serving 33333333aa")
	if got := merge([]*resnet18cloud.Models{canary, serving}); len(got.Models) != 4 {
		t.Errorf("%+v, want each state of each version", got.Models)
	}
	if text, err := json.Marshal(merge(nil)); err != nil || !strings.Contains(string(text), `"models":[]`) {
		t.Errorf("without replicas: %s, %v", text, err)
	}
}

// TestFor checks which models' cached results answer a request.
func TestFor(t *testing.T) {
	t.Parallel()
	first, second := listed("trash@1 serving 11111111aa", "trash@2 canary 22222222aa"), listed("trash@2 serving 22222222aa", "trash@1 loaded 11111111aa", "ants@1 serving 77777777aa")
	endpoint := func(l *resnet18cloud.Models, healthy, doubted bool) Endpoint {
		m, _ := find(l, "")
		return Endpoint{Healthy: healthy, Model: m.Identity, Precision: m.Precision, hash: m.Hash, models: l, doubted: doubted}
	}
	for name, test := range map[string]struct {
		endpoints []Endpoint
		model     string
		want      string // hashes
	}{
		"canaries do not answer":    {[]Endpoint{endpoint(first, true, false)}, "trash", "11111111aa"},
		"by version":                {[]Endpoint{endpoint(first, true, false)}, "trash@2", "22222222aa"},
		"while replicas differ":     {[]Endpoint{endpoint(first, true, false), endpoint(second, true, false)}, "trash", "11111111aa 22222222aa"},
		"default, as they differ":   {[]Endpoint{endpoint(first, true, false), endpoint(second, true, false)}, "", "11111111aa 22222222aa"},
		"version at both":           {[]Endpoint{endpoint(first, true, false), endpoint(second, true, false)}, "trash@1", "11111111aa"},
		"at one":                    {[]Endpoint{endpoint(first, true, false), endpoint(second, true, false)}, "ants", "77777777aa"},
		"one is away":               {[]Endpoint{endpoint(first, false, false), endpoint(second, true, false)}, "trash", "22222222aa"},
		"one is changing":           {[]Endpoint{endpoint(first, true, true), endpoint(second, true, false)}, "trash", "22222222aa"},
		"one changes its default":   {[]Endpoint{endpoint(first, true, true), endpoint(second, true, false)}, "", "22222222aa"},
		"all are changing":          {[]Endpoint{endpoint(first, true, true)}, "trash", ""},
		"default, all are changing": {[]Endpoint{endpoint(first, true, true)}, "", ""},
		"no such model":             {[]Endpoint{endpoint(second, true, false)}, "bees", ""},
	} {
		var got []string
		for _, m := range answering(test.endpoints).For(test.model) {
			got = append(got, m.Hash)
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if a := answering([]Endpoint{endpoint(first, true, true)}); !a.Healthy {
		t.Error("an endpoint that is changing its models counts as away")
	}
	if got := Told(*second).For(""); len(got) != 1 || got[0].Hash != "22222222aa" {
		t.Errorf("default of one list: %+v", got)
	}
}

// FuzzModels reads lists of models as a hostile replica may send them.
func FuzzModels(f *testing.F) {
	f.Add(`{"default":"a","models":[{"name":"a","version":"1","state":"serving","identity":"w"},{"name":"b\u0007","canary":{"against":"\n"}}]}`, "a@1")
	f.Add(`{"models":[{"reason":"`+strings.Repeat("x", 5000)+`","replicas":-7}],"replicas":9}`, "")
	f.Fuzz(func(t *testing.T, body, model string) {
		var l resnet18cloud.Models
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			return
		}
		tidied := tidy(l)
		all := merge([]*resnet18cloud.Models{tidied, tidied})
		if all.Replicas != 2 {
			t.Errorf("%d replicas", all.Replicas)
		}
		for _, m := range all.Models {
			if m.Replicas < 2 || m.Replicas%2 != 0 {
				t.Errorf("an entry has %d replicas", m.Replicas)
			}
			for _, text := range []string{m.Name, m.Version, m.File, string(m.State), m.Reason, m.Identity, m.Hash, m.Precision, m.Preprocessing, m.Activation} {
				if len(text) > maxModelTextBytes || strings.ContainsFunc(text, unicode.IsControl) {
					t.Errorf("text %q", text)
				}
			}
		}
		if found, ok := find(tidied, model); ok && !found.Loaded() {
			t.Errorf("found %+v", found)
		}
		if err := lacking(model, []teller{{true, tidied}}); err != nil && (len(err.Error()) > 2000 || model == "") {
			t.Errorf("error of %d bytes for %q", len(err.Error()), model)
		}
	})
}

// TestReloaded checks what a client learns of many replicas.
func TestReloaded(t *testing.T) {
	t.Parallel()
	e := func(code resnet18cloud.Code, text string) error {
		return &resnet18cloud.Error{Code: code, Message: text}
	}
	one, wrong, also, away := e(resnet18cloud.CodeNotFound, "no folder"), e(resnet18cloud.CodeConflict, "a.pth is wrong"), e(resnet18cloud.CodeConflict, "b.pth is wrong"), e(resnet18cloud.CodeUnavailable, "away")
	for name, test := range map[string]struct {
		errs []error
		want string
	}{
		"all have":       {[]error{nil, nil}, ""},
		"one has":        {[]error{one, nil}, ""},
		"none has":       {[]error{one, one}, "not_found no folder"},
		"the same file":  {[]error{wrong, nil, wrong}, "conflict a.pth is wrong"},
		"several files":  {[]error{wrong, one, also}, "conflict a.pth is wrong; b.pth is wrong"},
		"one is away":    {[]error{wrong, away, nil}, "unavailable a.pth is wrong; away"},
		"no replica":     {nil, "unavailable No replica is reachable"},
		"no folder away": {[]error{one, away}, "unavailable away"},
	} {
		got := ""
		if err := reloaded(test.errs); err != nil {
			got = string(resnet18cloud.AsError(err).Code) + " " + resnet18cloud.AsError(err).Message
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	if m := resnet18cloud.AsError(wrong).Message; m != "a.pth is wrong" {
		t.Errorf("a replica's error was changed to %q", m)
	}
}
