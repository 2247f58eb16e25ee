package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/engine/weights/describe"
)

// describe completes s.Spec, which has the head that the weights show. In the order of their precedence, the options, the
// file's metadata, the side files in its folder, and the values beside a checkpoint's weights say the rest. A converted file
// has all parts in its metadata: side files do not count.
func (s *Set) describe(folder string, facts map[string]any, o describe.Options) error {
	own, err := describe.Metadata(s.Metadata)
	if err != nil {
		return err
	}
	all := own
	if own.Head == nil {
		beside, err := describe.Beside(os.DirFS(folder))
		if err != nil {
			return err
		}
		all.Add(beside)
	}
	own.Add(describe.Facts(facts))
	all.Add(describe.Facts(facts))
	own.Preprocess, all.Preprocess = s.normalized(own.Preprocess), s.normalized(all.Preprocess)
	alone := s.Spec
	_, _, problem := own.Apply(&alone, describe.Options{})
	var notes []string
	if s.Sources, notes, err = all.Apply(&s.Spec, o); err != nil {
		return err
	}
	s.Notes = append(s.Notes, notes...)
	if problem != nil || !reflect.DeepEqual(alone, s.Spec) {
		return s.distinguish()
	}
	return nil
}

// normalized returns p with the normalization that the model does itself, if it does one: side files know only of others.
func (s *Set) normalized(p *spec.Preprocess) *spec.Preprocess {
	if p == nil || !s.inside {
		return p
	}
	with := *p
	with.Mean, with.Deviation = s.Spec.Preprocess.Mean, s.Spec.Preprocess.Deviation
	return &with
}

// distinguish gives the set another version than the hash of its file, because others than the file describe it.
func (s *Set) distinguish() (err error) {
	s.version, err = s.versionOf(s.Spec)
	return err
}

// versionOf is a digest of the file's and of a description.
func (s *Set) versionOf(m spec.Model) (string, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("describe the model: %w", err)
	}
	sum := sha256.Sum256(append([]byte(s.SHA256), text...))
	return hex.EncodeToString(sum[:]), nil
}

// Oriented returns a set like s whose model rotates pictures by their EXIF orientation; s itself if it does already. Its answers
// are others, and so is its version. It shares the memory of s, which the caller closes.
func (s *Set) Oriented() (*Set, error) {
	if s.Spec.Preprocess.Orient {
		return s, nil
	}
	turned := *s
	turned.mapping = nil
	turned.Spec.Preprocess.Orient = true
	return &turned, turned.distinguish()
}
