// Package detect names files that people take for weights and that are none, or none that is read here: other frameworks'
// models, Git LFS pointers, web pages, pictures. It looks at the first bytes, and into the directory of a zip file. Package
// weights asks it before it reads a file.
package detect

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/zipdir"
)

// Error says what a file is and what to do.
type Error struct {
	Is string // such as "a Git LFS pointer, not the file itself"
	Do string // such as "run git lfs pull"
}

// Error joins both.
func (e *Error) Error() string { return fmt.Sprintf("this is %s: %s", e.Is, e.Do) }

// sign is what a kind of file begins with.
type sign struct {
	at    int // position in bytes
	begin string
	is    string
	do    string
}

const (
	fromTF    = "convert it to ONNX or PyTorch first, or train a ResNet-18 in PyTorch; ResNets of Keras have no 18"
	save      = "save the model from Python with torch.save(model.state_dict(), \"model.pth\") or safetensors, or export it to ONNX"
	download  = "download the weight file itself"
	unpack    = "unpack it and give the weight file inside"
	noPicture = "give the weight file with --model, pictures to classify"
)

// signs of formats, by their specifications; libmagic lists most.
var signs = []sign{
	{0, "version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself", "run \"git lfs pull\" in its repository, or download the file from the hub"},
	{0, "\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras saves models (.h5)", fromTF},
	{4, "TFL3", "a TensorFlow Lite model (.tflite)", fromTF},
	{0, "GGUF", "a GGUF file, the format of llama.cpp", save},
	{0, "ggml", "a GGML file, the format of llama.cpp and whisper.cpp", save},
	{0, "lmgg", "a GGML file, the format of llama.cpp and whisper.cpp", save},
	{0, "ftrt", "a TensorRT engine, made for one kind of GPU", "give the model that the engine was built from: ONNX, or " + save},
	{0, "ptrt", "a TensorRT engine, made for one kind of GPU", "give the model that the engine was built from: ONNX, or " + save},
	{0, "\x93NUMPY", "an array of NumPy (.npy)", save},
	{0, "\xff\xd8\xff", "a picture (JPEG)", noPicture},
	{0, "\x89PNG\r\n\x1a\n", "a picture (PNG)", noPicture},
	{0, "GIF8", "a picture (GIF)", noPicture},
	{8, "WEBP", "a picture (WebP)", noPicture},
	{0, "II*\x00", "a picture (TIFF)", noPicture},
	{0, "MM\x00*", "a picture (TIFF)", noPicture},
	{0, "BM", "a picture (BMP)", noPicture},
	{0, "%PDF-", "a PDF document", download},
	{257, "ustar", "a tar archive", unpack},
	{0, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", unpack},
	{0, "Rar!\x1a\x07", "a RAR archive", unpack},
	{0, "\x28\xb5\x2f\xfd", "a file compressed with Zstandard", unpack},
	{0, "\xfd7zXZ\x00", "a file compressed with xz", unpack},
	{0, "BZh", "a file compressed with bzip2", unpack},
	{0, "\x7fELF", "a program or library for Linux", download},
	{0, "MZ", "a program for Windows", download},
	{0, "\x08\x01\x12", "a TensorFlow SavedModel (saved_model.pb)", fromTF},
}

// legacyTar are the entries of PyTorch's first format, a tar file, which package pth knows.
var legacyTar = regexp.MustCompile(`^(?:\./)?(?:sys_info|pickle|tensors|storages)\x00`)

// peek is how many bytes of a file decide.
const peek = 4096

// Foreign returns an *Error if data, a file's content after gunzip, is known to be something else than weights that can be
// read, else nil. The file's name does not matter.
func Foreign(data []byte) error {
	head := data[:min(len(data), peek)]
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) {
		return foreignZip(data)
	}
	for _, s := range signs {
		if len(head) < s.at || !bytes.HasPrefix(head[s.at:], []byte(s.begin)) {
			continue
		}
		switch {
		case s.begin == "ustar" && legacyTar.Match(head), s.begin == "BM" && !bitmap(head):
		default:
			return &Error{s.is, s.do}
		}
	}
	switch e := foreignText(head); {
	case e != nil:
		return e
	case bytes.HasPrefix(head, []byte("\x80")) || bytes.HasPrefix(head, []byte("(dp")):
		return foreignPickle(head)
	}
	return nil
}

// bitmap tells BMP from other files that begin with "BM": the reserved fields are zero.
func bitmap(head []byte) bool {
	return len(head) > 14 && bytes.Equal(head[6:10], make([]byte, 4))
}

// foreignText names texts: web pages, XML, JSON.
func foreignText(head []byte) error {
	text := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(string(head), "\ufeff"), " \t\r\n"))
	xml := strings.HasPrefix(text, "<?xml")
	switch {
	case text == "" && len(head) == 0:
		return &Error{"an empty file", "the download may have failed: " + download}
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"), xml && strings.Contains(text, "<html"):
		return &Error{"an HTML page, not the file itself", "its address leads to a web page; on Hugging Face and GitHub, " + download + " by its \"resolve\" or \"raw\" address"}
	case (xml || strings.HasPrefix(text, "<net")) && strings.Contains(text, "<net"):
		return &Error{"an OpenVINO model (IR: .xml and .bin)", "give the ONNX file or checkpoint that it was made from"}
	case xml, strings.HasPrefix(text, "<error"):
		return &Error{"an XML document", "if it is the error of a file server, open it to see why; " + download}
	case text != "" && (text[0] == '{' || text[0] == '['):
		return foreignJSON(text)
	}
	return nil
}

// foreignJSON names JSON texts by their first keys.
func foreignJSON(text string) error {
	switch {
	case strings.Contains(text, `"weight_map"`):
		return &Error{"the index of a model in several files (sharded safetensors)", "save the model in one file: save_pretrained(..., max_shard_size=\"10GB\")"}
	case strings.Contains(text, `"architectures"`), strings.Contains(text, `"model_type"`), strings.Contains(text, `"pretrained_cfg"`):
		return &Error{"a model's configuration (JSON)", "give the folder or the weight file beside it: model.safetensors or pytorch_model.bin"}
	case strings.Contains(text, `"class_name"`), strings.Contains(text, `"modeltopology"`):
		return &Error{"the description of a Keras or TensorFlow.js model (JSON)", fromTF}
	case strings.Contains(text, `"error"`):
		return &Error{"a JSON text, probably the error of a server", "open it to see why; " + download}
	}
	return &Error{"a JSON text", "give the weight file; labels go with --labels"}
}

// foreignPickle names pickles by the Python modules that they call.
func foreignPickle(head []byte) error {
	switch {
	case bytes.Contains(head, []byte("fastai.learner")):
		return &exportPKL
	case bytes.Contains(head, []byte("stem.conv1")) && bytes.Contains(head, []byte("numpy")):
		return &Error{"a Detectron2 pickle of NumPy arrays (.pkl), not a PyTorch checkpoint", "convert its \"model\" to tensors and save it with torch.save or safetensors; the names may stay"}
	case bytes.Contains(head, []byte("sklearn")):
		return &Error{"a model of scikit-learn (pickle)", "a ResNet-18 of PyTorch is needed: " + save}
	case bytes.Contains(head, []byte("keras")), bytes.Contains(head, []byte("tensorflow")):
		return &Error{"a pickled Keras model", fromTF}
	}
	return nil
}

var exportPKL = Error{"fastai's export.pkl, a program that holds the model", "save the weights with learn.save(\"model\") and give models/model.pth"}

// foreignZip names zip files that are no checkpoints.
func foreignZip(data []byte) error {
	archive, err := zipdir.Open(data)
	if err != nil {
		return nil //nolint:nilerr // the reader of checkpoints says more about what is broken
	}
	has := func(match func(name string) bool) bool {
		return slices.ContainsFunc(archive.File, func(f *zip.File) bool { return match(f.Name) })
	}
	base := func(want string) func(string) bool { return func(name string) bool { return path.Base(name) == want } }
	ext := func(want string) func(string) bool {
		return func(name string) bool { return strings.HasSuffix(strings.ToLower(name), want) }
	}
	for _, f := range archive.File {
		if path.Base(f.Name) == "data.pkl" {
			if program, err := begin(f); err == nil && bytes.Contains(program, []byte("fastai.learner")) {
				return &exportPKL
			}
			return nil
		}
	}
	switch {
	case has(base("model.weights.h5")), has(base("metadata.json")) && has(base("config.json")):
		return &Error{"a Keras model (.keras)", fromTF}
	case has(ext(".npy")):
		return &Error{"arrays of NumPy (.npz)", save}
	case has(base("MAR-INF/MANIFEST.json")), has(func(name string) bool { return strings.HasPrefix(name, "MAR-INF/") }):
		return &Error{"a model archive of TorchServe (.mar)", unpack}
	case has(ext(".mlmodel")):
		return &Error{"a Core ML package", "export the model to ONNX, or " + save}
	case has(ext(".pth")), has(ext(".pt")), has(ext(".ckpt")), has(ext(".safetensors")), has(ext(".onnx")), has(ext(".bin")):
		return &Error{"a zip archive with weights inside", unpack}
	case has(ext(".jpg")), has(ext(".jpeg")), has(ext(".png")):
		return &Error{"a zip archive of pictures", noPicture}
	}
	return &Error{"a zip archive, but no PyTorch checkpoint: it holds no data.pkl", save}
}

// begin returns the first bytes of a zip entry.
func begin(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, 1<<16)
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// Unknown is the error for a file of a kind that nobody knows. Its name gives a hint at most.
func Unknown(name string) error {
	const want = "not a weight file: want a PyTorch checkpoint, safetensors or ONNX, gzipped or not"
	switch strings.ToLower(path.Ext(strings.TrimSuffix(name, ".gz"))) {
	case ".bin":
		return errors.New(want + "; if it is the second part of an OpenVINO model (.xml and .bin), give the ONNX file or checkpoint that it was made from")
	case ".pb":
		return errors.New(want + "; if it is a TensorFlow graph, " + fromTF)
	case ".mlmodel":
		return errors.New(want + "; if it is a Core ML model, export the model to ONNX")
	case ".params", ".pdparams", ".caffemodel", ".weights", ".msgpack", ".index", ".t7":
		return errors.New(want + "; models of MXNet, Paddle, Caffe, Darknet, Flax, TensorFlow and Lua Torch are not read")
	}
	return errors.New(want)
}
