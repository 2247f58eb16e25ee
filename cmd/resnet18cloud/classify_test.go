package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/resnet18cloud/resnet18cloud"
	"github.com/resnet18cloud/resnet18cloud/internal/testutil"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	model := testutil.Shared(t, "models", "resnet18-ktb.pth")
	goldfinch := testutil.Shared(t, "images", "imagenet-sample", "n01531178_goldfinch.JPEG")
	broken := filepath.Join(t.TempDir(), "broken.jpg")
	data, err := os.ReadFile(goldfinch)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(broken, data[:5000], 0o600); err != nil {
		t.Fatal(err)
	}

	var stdout, stderr bytes.Buffer
	err = run(t.Context(), []string{"classify", "--json", "--model", model, broken, goldfinch, "missing.jpg"}, &stdout, &stderr)
	if !errors.Is(err, errReported) {
		t.Errorf("run: %v, want the status of a failed file", err)
	}
	var lines []classification
	for dec := json.NewDecoder(&stdout); dec.More(); {
		var line classification
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3", len(lines))
	}
	if lines[0].Filename != broken || lines[0].Error != "Not a decodable image: JPEG file is truncated" || lines[0].Code != resnet18cloud.CodeUndecodable || lines[2].Error == "" {
		t.Errorf("lines of bad files: %+v, %+v", lines[0], lines[2])
	}
	got := lines[1]
	if got.Result == nil || strings.Join(got.Predictions, ",") != "goldfinch,bulbul,magpie,chickadee,junco" || len(got.Scores) != 5 ||
		got.Error != "" || got.Timing.Inference <= 0 || got.Timing.Decode <= 0 || got.Timing.Preprocess <= 0 {
		t.Fatalf("goldfinch: %+v", got)
	}
	if s := got.Scores[0]; s.Index != 11 || s.Label != "goldfinch" || s.Probability == nil || *s.Probability < 0.9 {
		t.Errorf("goldfinch: %+v", s)
	}
	if got.InferenceTime != got.Timing.Inference.Seconds() {
		t.Errorf("inference_time is %g, and timing.inference is %s", got.InferenceTime, got.Timing.Inference)
	}

	stdout.Reset()
	if err := run(t.Context(), []string{"classify", "--model", model, goldfinch}, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stdout.String(), "99.2 %  goldfinch") {
		t.Errorf("table:\n%s", stdout.String())
	}
}

// TestClassifyCSV checks the table, whose names may have anything in them.
func TestClassifyCSV(t *testing.T) {
	t.Parallel()
	model := testutil.Shared(t, "models", "resnet18-ktb.pth")
	goldfinch := testutil.Shared(t, "images", "imagenet-sample", "n01531178_goldfinch.JPEG")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"classify", "--csv", "--top-k", "2", "--model", model, `no,such "file".jpg`, "=1+1.jpg", goldfinch}, &stdout, &stderr)
	if !errors.Is(err, errReported) {
		t.Errorf("run: %v, want the status of a failed file", err)
	}
	rows, err := csv.NewReader(&stdout).ReadAll()
	if err != nil || len(rows) != 4 || strings.Join(rows[0], ",") != "file,problem,unknown,model,label 1,score 1,label 2,score 2" {
		t.Fatalf("%q, %v", rows, err)
	}
	if rows[1][0] != `no,such "file".jpg` || rows[1][1] == "" || strings.Join(rows[1][2:], "") != "" {
		t.Errorf("a missing file: %q", rows[1])
	}
	if rows[2][0] != "'=1+1.jpg" {
		t.Errorf("a name like a formula: %q", rows[2])
	}
	score, err := strconv.ParseFloat(rows[3][5], 32)
	if rows[3][0] != goldfinch || rows[3][1] != "" || rows[3][2] != "" || rows[3][4] != "goldfinch" || err != nil || score < 0.9 || rows[3][6] != "bulbul" || rows[3][3] == "" {
		t.Errorf("goldfinch: %q", rows[3])
	}
}

// TestCell checks which texts a spreadsheet would take for formulas.
func TestCell(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`=HYPERLINK("http://x")`: `'=HYPERLINK("http://x")`, "+1.jpg": "'+1.jpg", "-1.jpg": "'-1.jpg", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1",
		"a=b.jpg": "a=b.jpg", "-": "-", "": "", "été.jpg": "été.jpg",
	} {
		if got := cell(text); got != want {
			t.Errorf("cell(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestClassifyWants checks the number of classes, features, and flags that contradict each other.
func TestClassifyWants(t *testing.T) {
	t.Parallel()
	for args, problem := range map[string]string{
		"--top-k=0":            "want 1 to 2000",
		"--top-k=2001":         "want 1 to 2000",
		"--normalize":          "add --embed",
		"--embed --all-logits": "drop --all-logits",
	} {
		var out bytes.Buffer
		if err := run(t.Context(), append([]string{"classify", "x.jpg"}, strings.Fields(args)...), &out, &out); err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("classify %s: %v, want %q", args, err, problem)
		}
	}
	model := testutil.Shared(t, "models", "resnet18-ktb.pth")
	goldfinch := testutil.Shared(t, "images", "imagenet-sample", "n01531178_goldfinch.JPEG")
	for args, check := range map[string]func(classification) bool{
		"--json --top-k=2": func(c classification) bool {
			return len(c.Predictions) == 2 && len(c.Scores) == 2 && c.Embedding == nil
		},
		"--embed --normalize": func(c classification) bool {
			sum := 0.0
			for _, x := range c.Embedding {
				sum += float64(x) * float64(x)
			}
			return len(c.Embedding) == 512 && math.Abs(sum-1) < 1e-5 && c.Predictions == nil && c.Timing.Inference > 0
		},
	} {
		var stdout, stderr bytes.Buffer
		var line classification
		err := run(t.Context(), append([]string{"classify", "--model", model, goldfinch}, strings.Fields(args)...), &stdout, &stderr)
		if err == nil {
			err = json.Unmarshal(stdout.Bytes(), &line)
		}
		if err != nil || !check(line) {
			t.Errorf("classify %s: %v\n%.300s", args, err, stdout.String())
		}
	}
}

// TestExpand lists the pictures of folders, and counts the other files.
func TestExpand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b.jpg", "sub/a.PNG", "notes.txt", "sub/deep/c.webp"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, skipped, err := expand([]string{"-", dir, "missing.jpg"})
	if err != nil || len(files) != 5 || files[0] != "-" || files[4] != "missing.jpg" || skipped != 1 {
		t.Errorf("expand: %q, %d skipped, %v", files, skipped, err)
	}
	if _, _, err := expand([]string{t.TempDir()}); err == nil {
		t.Error("a folder without pictures is no error")
	}
}
