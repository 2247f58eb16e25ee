package pth

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/resnet18cloud/resnet18cloud/engine/tensor"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/internal/raw"
)

// Write writes tensors as a checkpoint that PyTorch since 1.6 loads, also with weights_only: a zip file with the pickle of an
// OrderedDict of float32 tensors, in the order of their names, and one file for the numbers of each. Equal tensors give
// equal bytes.
func Write(w io.Writer, tensors map[string]tensor.Tensor) error {
	names := slices.Sorted(maps.Keys(tensors))
	z := zip.NewWriter(w)
	if err := put(z, "data.pkl", stateDict(names, tensors)); err != nil {
		return err
	}
	for i, name := range names {
		if err := put(z, "data/"+strconv.Itoa(i), raw.Bytes(tensors[name].Data)); err != nil {
			return err
		}
	}
	if err := put(z, "version", []byte("3\n")); err != nil {
		return err
	}
	return z.Close()
}

// put adds a file as it is. The header has its length and checksum, which PyTorch reads there, so they are computed first.
func put(z *zip.Writer, name string, data []byte) error {
	n := uint64(len(data))
	w, err := z.CreateRaw(&zip.FileHeader{Name: "archive/" + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: n, UncompressedSize64: n})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = w.Write(data)
	return err
}

// stateDict is the pickle of OrderedDict([(name, tensor), ...]) in protocol 2. A tensor is the call
//
//	torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)
//
// where the storage is a persistent id: ("storage", torch.FloatStorage, file, "cpu", number of elements).
func stateDict(names []string, tensors map[string]tensor.Tensor) []byte {
	p := pickler("\x80\x02") // PROTO 2
	p.global("collections", "OrderedDict")
	p.op(")R(") // EMPTY_TUPLE, REDUCE, MARK
	for i, name := range names {
		t := tensors[name]
		p.text(name)
		p.global("torch._utils", "_rebuild_tensor_v2")
		p.op("((") // MARKs of the arguments and of the id
		p.text("storage")
		p.global("torch", "FloatStorage")
		p.text(strconv.Itoa(i))
		p.text("cpu")
		p.number(len(t.Data))
		p.op("tQ") // TUPLE, BINPERSID
		p.number(0)
		p.numbers(t.Shape)
		p.numbers(strides(t.Shape, false))
		p.op("\x89") // NEWFALSE
		p.global("collections", "OrderedDict")
		p.op(")RtR") // EMPTY_TUPLE, REDUCE; TUPLE of the arguments, REDUCE
	}
	p.op("u.") // SETITEMS, STOP
	return p
}

// pickler is a pickle in the making.
type pickler []byte

func (p *pickler) op(codes string) { *p = append(*p, codes...) }

// global is a class or function of Python.
func (p *pickler) global(module, name string) { p.op("c" + module + "\n" + name + "\n") }

func (p *pickler) text(s string) {
	p.op("X") // BINUNICODE
	*p = append(binary.LittleEndian.AppendUint32(*p, uint32(len(s))), s...)
}

func (p *pickler) number(n int) {
	p.op("J") // BININT
	*p = binary.LittleEndian.AppendUint32(*p, uint32(n))
}

func (p *pickler) numbers(list []int) {
	p.op("(")
	for _, n := range list {
		p.number(n)
	}
	p.op("t")
}
