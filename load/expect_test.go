package load_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/resnet18cloud/resnet18cloud/load"
)

func TestReadExpectation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "expect.jsonl")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"file":"a.jpg","label":"goldfinch"}` + "\n" + `{"file":"dir/b.jpg","top5_names":["bulbul","junco"]}` + "\n")
	got, err := load.ReadExpectation(path)
	if err != nil || got["a.jpg"] != "goldfinch" || got["b.jpg"] != "bulbul" {
		t.Errorf("ReadExpectation = %v, %v", got, err)
	}
	for text, want := range map[string]string{
		`{"file":"a.jpg"}`: "line 1",
		"dear diary":       "line 1",
		`{"file":"x/a.jpg","label":"junco"}` + "\n" + `{"file":"y/a.jpg","label":"bulbul"}`: `line 2: a.jpg is "bulbul" here and "junco" before`,
	} {
		write(text)
		if _, err := load.ReadExpectation(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
}

func TestExpectNames(t *testing.T) {
	t.Parallel()
	labels := []string{"goldfinch", "great white shark", "Cardigan", "cardigan", "crane", "crane bird", "jack-o'-lantern"}
	files := []string{"x/n01531178_goldfinch.JPEG", "n01484850_great_white_shark.JPEG", "n02113186_Cardigan.JPEG", "n02963159_cardigan.JPEG",
		"n02012849_crane.JPEG", "n03126707_crane.JPEG", "n03590841_jack-o'-lantern.JPEG", "n99999999_unicorn.JPEG", "holiday.jpg", "n1_goldfinch.jpg"}
	got, err := load.ExpectNames(files, labels)
	want := load.Expectation{"n01531178_goldfinch.JPEG": "goldfinch", "n01484850_great_white_shark.JPEG": "great white shark",
		"n02113186_Cardigan.JPEG": "Cardigan", "n02963159_cardigan.JPEG": "cardigan", "n03590841_jack-o'-lantern.JPEG": "jack-o'-lantern"}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("ExpectNames = %v, %v; want %v", got, err, want)
	}
	if _, err := load.ExpectNames([]string{"holiday.jpg"}, labels); err == nil {
		t.Error("no file named after a class: no error")
	}
}

// TestExpectNamesByAllLetters checks that labels that differ in one letter or digit are told apart.
func TestExpectNamesByAllLetters(t *testing.T) {
	t.Parallel()
	labels := []string{"type", "type 0", "type 9", "type a", "type z", "type A", "type Z"}
	want := load.Expectation{}
	var files []string
	for i, label := range labels {
		name := fmt.Sprintf("n%08d_%s.JPEG", i, strings.ReplaceAll(label, " ", "_"))
		files, want[name] = append(files, name), label
	}
	if got, err := load.ExpectNames(files, labels); err != nil || !cmp.Equal(got, want) {
		t.Errorf("ExpectNames = %v, %v; want %v", got, err, want)
	}
}

// TestExpectFolders checks that the folder below the root is the label, also of files of the same name.
func TestExpectFolders(t *testing.T) {
	t.Parallel()
	root := filepath.Join("a", "b")
	file := func(elem ...string) string { return filepath.Join(append([]string{root}, elem...)...) }
	files := []string{file("ant", "1.jpg"), file("bee", "1.jpg"), file("bee", "more", "2.jpg"), file("loose.jpg"), filepath.Join("a", "c", "3.jpg")}
	expected, err := load.ExpectFolders(root, files)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"ant", "bee", "bee", "", ""} {
		if got, ok := expected.Label(files[i]); got != want || ok != (want != "") {
			t.Errorf("label of %s is %q, %t; want %q", files[i], got, ok, want)
		}
	}
	if _, err := load.ExpectFolders(root, files[3:]); err == nil || !strings.Contains(err.Error(), "folder of its class") {
		t.Errorf("no folders: %v", err)
	}
}
