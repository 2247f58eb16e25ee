package detect

import (
	"archive/zip"
	"bytes"
	"errors"
	"strings"
	"testing"
)

// zipped makes a zip file of names and contents.
func zipped(tb testing.TB, entries ...string) string {
	tb.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		f, err := w.Create(entries[i])
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := f.Write([]byte(entries[i+1])); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// tar is the header of a tar file's first entry.
func tar(name string) string {
	b := make([]byte, 512)
	copy(b, name)
	copy(b[257:], "ustar\x0000")
	return string(b)
}

func TestForeign(t *testing.T) {
	t.Parallel()
	for want, data := range map[string]string{
		"Git LFS pointer":        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 44\n",
		"git lfs pull":           "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 44\n",
		"HDF5 file, as Keras":    "\x89HDF\r\n\x1a\n\x00\x00",
		"TensorFlow Lite":        "\x1c\x00\x00\x00TFL3\x00",
		"GGUF":                   "GGUF\x03\x00\x00\x00",
		"TensorRT engine":        "ftrt\x00\x00",
		"NumPy (.npy)":           "\x93NUMPY\x01\x00",
		"JPEG":                   "\xff\xd8\xff\xe0\x00\x10JFIF",
		"WebP":                   "RIFF\x00\x00\x00\x00WEBPVP8 ",
		"BMP":                    "BM\x36\x00\x0c\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28",
		"PDF":                    "%PDF-1.7\n",
		"tar archive":            tar("model/weights.pth"),
		"7-Zip":                  "7z\xbc\xaf\x27\x1c\x00",
		"SavedModel":             "\x08\x01\x12\xff\x01",
		"Linux":                  "\x7fELF\x02\x01",
		"HTML page":              "\n <!DOCTYPE html><html><title>404</title></html>",
		"HTML":                   "\ufeff<HTML>\n",
		"OpenVINO":               "<?xml version=\"1.0\"?>\n<net name=\"resnet\" version=\"11\"><layers/></net>",
		"XML document":           "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
		"sharded safetensors":    `{"metadata": {}, "weight_map": {"conv1.weight": "model-00001-of-00002.safetensors"}}`,
		"model's configuration":  `{"architectures": ["ResNetForImageClassification"]}`,
		"Keras or TensorFlow.js": `{"class_name": "Functional"}`,
		"error of a server":      `{"error": "Repository not found"}`,
		"a JSON text: give the":  ` ["a", "b"]`,
		"an empty file":          "",
		"learn.save":             "\x80\x02cfastai.learner\nLearner\n",
		"export.pkl":             zipped(t, "archive/data.pkl", "\x80\x02cfastai.learner\nLearner\n"),
		"Detectron2 pickle":      "\x80\x02}q\x00(X\x05\x00\x00\x00model}X\x11\x00\x00\x00stem.conv1.weightcnumpy.core.multiarray\n_reconstruct\n",
		"scikit-learn":           "\x80\x04\x95\x00\x8c\x15sklearn.linear_model",
		"Keras model (.keras)":   zipped(t, "metadata.json", "{}", "config.json", "{}", "model.weights.h5", "x"),
		"NumPy (.npz)":           zipped(t, "conv1.npy", "x"),
		"TorchServe":             zipped(t, "MAR-INF/MANIFEST.json", "{}", "model.pth", "x"),
		"weights inside":         zipped(t, "out/model.pth", "x"),
		"archive of pictures":    zipped(t, "a/1.JPG", "x"),
		"it holds no data.pkl":   zipped(t, "word/document.xml", "x"),
		"compressed with xz":     "\xfd7zXZ\x00",
		"if it is the error":     "<Error><Code>NoSuchKey</Code></Error>",
	} {
		err := Foreign([]byte(data))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || e.Do == "" {
			t.Errorf("Foreign(%.20q): %v, want %q", data, err, want)
		}
	}
}

func TestOwnFilesPass(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"zip checkpoint":    zipped(t, "archive/data.pkl", "\x80\x02ccollections\nOrderedDict\n", "archive/data/0", "x"),
		"data.pkl at root":  zipped(t, "data.pkl", "\x80\x02}."),
		"broken zip":        "PK\x03\x04\x00\x00",
		"legacy checkpoint": "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
		"legacy tar":        tar("sys_info"),
		"safetensors":       "\x40\x00\x00\x00\x00\x00\x00\x00{\"__metadata__\":{}}",
		"ONNX":              "\x08\x07\x12\x07pytorch",
		"text":              "hello, world",
		"BM text":           "BMW 320d and others",
		"one byte":          "\x80",
	} {
		if err := Foreign([]byte(data)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"model.bin": "OpenVINO", "model.BIN.gz": "OpenVINO", "graph.pb": "TensorFlow graph", "a.mlmodel": "Core ML",
		"x.pdparams": "Paddle", "x": "want a PyTorch checkpoint"} {
		if err := Unknown(name); !strings.Contains(err.Error(), want) {
			t.Errorf("Unknown(%s): %v, want %q", name, err, want)
		}
	}
}

func FuzzForeign(f *testing.F) {
	f.Add([]byte("PK\x03\x04"))
	f.Add([]byte(zipped(f, "a/data.pkl", "x", "b.npy", "y")))
	f.Add([]byte("<?xml <net"))
	f.Add([]byte("\x80\x02}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e *Error
		if err := Foreign(data); err != nil && !errors.As(err, &e) {
			t.Errorf("error of type %T", err)
		}
	})
}
