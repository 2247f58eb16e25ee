package teach

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/resnet18cloud/resnet18cloud/engine/spec"
	"github.com/resnet18cloud/resnet18cloud/internal/images"
)

// Pictures is the files of a folder that has one folder for each class.
type Pictures struct {
	Classes []string // names of the folders, sorted: the order of the classes
	Files   []File   // by class, then by path
	// Others is how many files are no pictures by their names.
	Others int
}

// File is one picture.
type File struct {
	Path  string // in the folder, with slashes
	Class int
}

// Skipped is a picture that was left out.
type Skipped struct {
	Path   string
	Reason string
}

// find lists the pictures below a folder. Hidden files and folders do not count, and links to folders are not followed.
func find(folder fs.FS) (p Pictures, err error) {
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return p, err
	}
	var loose []string
	for _, entry := range entries {
		switch {
		case hidden(entry.Name()):
		case entry.IsDir():
			if err := p.add(folder, entry.Name()); err != nil {
				return p, err
			}
		case images.Is(entry.Name()):
			loose = append(loose, entry.Name())
		default:
			p.Others++
		}
	}
	return p, p.check(loose)
}

// hidden reports whether a name is one that systems give to their own files.
func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }

// add adds the pictures below a folder as a class.
func (p *Pictures) add(folder fs.FS, class string) error {
	number, before := len(p.Classes), len(p.Files)
	p.Classes = append(p.Classes, class)
	err := fs.WalkDir(folder, class, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case hidden(path.Base(name)) && entry.IsDir():
			return fs.SkipDir
		case entry.IsDir() || hidden(path.Base(name)):
		case !images.Is(name):
			p.Others++
		case entry.Type()&^fs.ModeSymlink == 0: // opening a pipe could block forever
			p.Files = append(p.Files, File{name, number})
		}
		return nil
	})
	if err == nil && len(p.Files) == before {
		err = fmt.Errorf("folder %q holds no pictures (%s): put the pictures of this class there, or remove it", class, images.Extensions())
	}
	return err
}

// check returns an error for a folder that has no classes.
func (p *Pictures) check(loose []string) error {
	const want = "want one folder for each class, with its pictures inside"
	switch {
	case len(loose) > 0:
		return fmt.Errorf("%d pictures lie beside the folders of the classes, such as %q: %s", len(loose), loose[0], want)
	case len(p.Classes) == 0:
		return errors.New("no folders: " + want)
	case len(p.Classes) == 1:
		return fmt.Errorf("1 folder, %q: %s, of 2 classes or more", p.Classes[0], want)
	case len(p.Classes) > spec.MaxClasses:
		return fmt.Errorf("%d folders: %s, of at most %d classes", len(p.Classes), want, spec.MaxClasses)
	}
	return nil
}

// maxFile bounds a picture's file.
const maxFile = 64 << 20

// read reads a file of a folder. Links that lead out of it are errors.
func read(root *os.Root, name string) ([]byte, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a file")
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%d bytes, want at most %d", info.Size(), maxFile)
	}
	data, err := root.ReadFile(name)
	return data, plain(err)
}

// plain leaves out the name of the file, which the caller knows.
func plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// enough checks that each class has two pictures left, and returns warnings about few.
func enough(classes []string, counts []int) (warnings []string, err error) {
	for k, n := range counts {
		if n < 2 {
			return nil, fmt.Errorf("class %q has %d readable pictures, want at least 2, better 20 or more", classes[k], n)
		}
	}
	type small struct {
		class string
		n     int
	}
	var few []small
	for k, n := range counts {
		if n < fewPictures {
			few = append(few, small{classes[k], n})
		}
	}
	slices.SortStableFunc(few, func(a, b small) int { return cmp.Compare(a.n, b.n) })
	if len(few) > 0 {
		warnings = append(warnings, fmt.Sprintf("%d of %d classes have under %d pictures (%q has %d): expect the accuracy to be off by more than the interval says, and add pictures",
			len(few), len(classes), fewPictures, few[0].class, few[0].n))
	}
	if least, most := slices.Min(counts), slices.Max(counts); most > 10*least {
		warnings = append(warnings, fmt.Sprintf("classes differ much in size (%d to %d pictures): the larger ones are preferred", least, most))
	}
	return warnings, nil
}

// fewPictures is the number of pictures of a class below which the measured accuracy is unreliable.
const fewPictures = 20
