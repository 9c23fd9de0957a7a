package history

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"reflect"
	"strings"
	"time"
)

// Writer writes a sealed stream. It writes a temporary file, which takes its name only when Close has written the end.
type Writer struct {
	path       string
	file       *os.File
	out        *bufio.Writer
	gzip       *gzip.Writer
	header     Header
	trailer    Trailer
	rows, runs hash.Hash
	inRuns     bool
}

// Create begins a stream with a header. Version, time and kinds that the header lacks are filled in.
func Create(path string, header Header) (*Writer, error) {
	header.Version, header.Sealed = "1.0", nil
	if header.ExportedAt == "" {
		header.ExportedAt = Timestamp(time.Now())
	}
	if header.Kinds == nil {
		header.Kinds = runKinds
	}
	line, err := canonical("header", header)
	if err == nil && header.FollowsHeader != "" && header.Follows == "" {
		err = errors.New("/follows_header without follows")
	}
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, header: header, rows: sha256.New(), runs: sha256.New()}
	w.trailer = Trailer{Counts: Counts{}, HeaderSHA256: fmt.Sprintf("%x", sha256.Sum256(line))}
	name := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if w.file, err = os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666); err != nil {
		return nil, err
	}
	w.out = bufio.NewWriter(w.file)
	if strings.HasSuffix(path, ".gz") {
		w.gzip = gzip.NewWriter(w.file)
		w.out = bufio.NewWriter(w.gzip)
	}
	w.out.Write(line)
	return w, nil
}

// Write adds a row or a run: first the rows of the catalog, kind by kind in the order of their slugs, then production
// runs, then assembly runs, in the order of time and UUID. That order is the caller's to keep.
func (w *Writer) Write(value any) error {
	value = reflect.Indirect(reflect.ValueOf(value)).Interface()
	for kind, of := range types {
		if reflect.TypeOf(value) != of {
			continue
		}
		line, err := canonical(kind, value)
		switch {
		case err != nil:
			return err
		case contains(runKinds, kind):
			w.runs.Write(line)
			w.inRuns = true
		case contains(w.header.Catalog, kind) && !w.inRuns:
			w.rows.Write(line)
			w.trailer.CatalogSHA256 = fmt.Sprintf("%x", w.rows.Sum(nil))
		default:
			return fmt.Errorf("%s: a row after a run, or of a kind that is not in the header's catalog", kind)
		}
		w.trailer.Counts[kind]++
		_, err = w.out.Write(line)
		return err
	}
	return fmt.Errorf("%T is neither a row nor a run", value)
}

// Close seals the stream.
func (w *Writer) Close() error {
	w.trailer.SHA256 = fmt.Sprintf("%x", w.runs.Sum(nil))
	line, err := canonical("trailer", w.trailer)
	w.out.Write(line) // a failure stays, and Flush returns it
	for _, step := range []func() error{w.out.Flush, w.closeGzip, w.file.Sync, w.file.Close} {
		if err == nil {
			err = step()
		}
	}
	if err == nil {
		err = os.Rename(w.file.Name(), w.path)
	}
	if err != nil {
		w.Abort()
	}
	return err
}

// Abort leaves no file. After Close it does nothing.
func (w *Writer) Abort() {
	w.file.Close()
	os.Remove(w.file.Name())
}

func (w *Writer) closeGzip() error {
	if w.gzip == nil {
		return nil
	}
	return w.gzip.Close()
}

// canonical is a line whose value a reader accepts, in the one spelling that a writer has to use.
func canonical(name string, value any) ([]byte, error) {
	given, checked := reflect.New(reflect.TypeOf(value)), reflect.New(reflect.TypeOf(value))
	given.Elem().Set(reflect.ValueOf(value))
	for i := 0; i < given.Elem().NumField(); i++ {
		if field := given.Elem().Field(i); field.Kind() == reflect.Slice && field.IsNil() {
			field.Set(reflect.MakeSlice(field.Type(), 0, 0)) // nil would be null
		}
	}
	text, err := encode(given.Interface())
	if err == nil {
		err = decode(text, checked.Interface())
	}
	if err != nil {
		return nil, err
	}
	return encode(map[string]any{name: checked.Interface()})
}
