package history

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"reflect"
	"regexp"
	"strings"
)

// Stream reads a stream line by line. Only at its end it knows whether the lines are those that were sealed.
type Stream struct {
	Header Header
	Sealed bool
	Line   Line    // that Next has read
	Found  Trailer // what the lines up to it add up to

	lines      *bufio.Scanner
	inCatalog  bool // every line so far began with a kind of the header's catalog
	afterRun   bool
	rows, runs hash.Hash
	trailer    *Trailer
	err        error
}

// Line is a row of the catalog, a run, or a line that is neither.
type Line struct {
	Number int    // the header is 1
	Kind   string // "" if it is neither a row nor a run
	Value  any    // *ProductionRun and so on; nil if it has faults
	Err    error  // the faults
}

// Stream reads the header of a stream.
func (f *File) Stream() (*Stream, error) {
	s := &Stream{lines: splitLines(f.plain), Sealed: true, inCatalog: true, rows: sha256.New(), runs: sha256.New()}
	if !s.lines.Scan() {
		return nil, s.end()
	}
	s.Line.Number = 1
	s.Found = Trailer{Counts: Counts{}, HeaderSHA256: fmt.Sprintf("%x", sha256.Sum256(s.lines.Bytes()))}
	line, err := members(s.lines.Bytes())
	if err == nil {
		err = only("header", line, &s.Header)
	}
	s.Sealed = s.Header.Sealed == nil || *s.Header.Sealed
	if s.Sealed && s.isCut() {
		err = fmt.Errorf("%w in line 1", ErrTruncated)
	}
	return s, err
}

// Next reads the next row or run into Line. After the last one it is false; then Err tells whether to keep them.
func (s *Stream) Next() bool {
	for s.err == nil && s.lines.Scan() {
		s.Line = Line{Number: s.Line.Number + 1}
		line, err := members(s.lines.Bytes())
		name := firstName(s.lines.Bytes())
		switch {
		case s.trailer != nil:
			s.err = fmt.Errorf("%w: something follows the trailer", ErrCorrupt)
		case s.Sealed && s.isCut():
			s.err = fmt.Errorf("%w in line %d", ErrTruncated, s.Line.Number)
		case s.Sealed && name == "header":
			s.err = fmt.Errorf("%w: a header in line %d", ErrCorrupt, s.Line.Number)
		case s.Sealed && name == "trailer":
			s.trailer = new(Trailer)
			if err == nil {
				err = only("trailer", line, s.trailer)
			}
			if err != nil {
				s.err = fmt.Errorf("%w: %v", ErrCorrupt, err)
			}
		case name != "trailer" || len(line) != 1: // without a seal, a trailer alone is ignored
			s.count(s.lines.Bytes(), name, line)
			if s.Line.Err = err; err == nil {
				s.Line.Err = s.value(line)
			}
			return true
		}
	}
	if s.err == nil {
		s.err = s.end()
	}
	return false
}

func (s *Stream) isCut() bool { return !bytes.HasSuffix(s.lines.Bytes(), []byte("\n")) }

// Err is why the lines that were read are not what was sealed.
func (s *Stream) Err() error { return s.err }

func (s *Stream) end() error {
	s.Found.SHA256 = fmt.Sprintf("%x", s.runs.Sum(nil))
	if err := s.lines.Err(); err != nil {
		return failed(err)
	} else if !s.Sealed {
		return nil
	} else if s.trailer == nil {
		return fmt.Errorf("%w: no trailer", ErrTruncated)
	}
	for kind, count := range s.trailer.Counts {
		if count == 0 {
			delete(s.trailer.Counts, kind)
		}
	}
	var others []string
	sealed, found := reflect.ValueOf(*s.trailer), reflect.ValueOf(s.Found)
	for i, field := range reflect.VisibleFields(sealed.Type()) {
		if !reflect.DeepEqual(sealed.Field(i).Interface(), found.Field(i).Interface()) {
			others = append(others, field.Name)
		}
	}
	if others != nil {
		return fmt.Errorf("%w: not what was sealed: %s", ErrCorrupt, strings.Join(others, ", "))
	}
	return nil
}

var firstMember = regexp.MustCompile(`^[ \t\r]*\{[ \t\r]*("(?:[^"\\]|\\.)*")`)

// firstName is the name with which a line begins, also if the rest of it is not JSON.
func firstName(text []byte) (name string) {
	if first := firstMember.FindSubmatch(text); first != nil {
		json.Unmarshal(first[1], &name)
	}
	return name
}

// count counts a line for the kind with which it begins, and adds it to a digest: to that of the catalog up to the
// first line that begins with another name.
func (s *Stream) count(text []byte, name string, line object) {
	s.inCatalog = s.inCatalog && contains(s.Header.Catalog, name)
	if s.inCatalog {
		s.rows.Write(text)
		s.Found.CatalogSHA256 = fmt.Sprintf("%x", s.rows.Sum(nil))
	} else {
		s.runs.Write(text)
	}
	for _, kind := range Kinds {
		if _, found := line[kind]; kind == name || found && !contains(Kinds, name) {
			s.Line.Kind = kind
			s.Found.Counts[kind]++
			s.afterRun = s.afterRun || contains(runKinds, kind)
		}
	}
}

func (s *Stream) value(line object) error {
	value, found := line[s.Line.Kind]
	problems, withProblems := line["problems"]
	switch {
	case !found:
		return errors.New("neither a row nor a run")
	case len(line) > 1 && !withProblems || len(line) > 2:
		return errors.New("more than a row or a run")
	case withProblems && problems[0] != '[':
		return errors.New("problems are an array")
	case !contains(runKinds, s.Line.Kind) && (s.afterRun || !contains(s.Header.Catalog, s.Line.Kind)):
		return errors.New("a row of the catalog that follows a run, or whose kind the header does not name")
	}
	into := reflect.New(types[s.Line.Kind])
	if err := decode(value, into.Interface()); err != nil {
		return err
	}
	s.Line.Value = into.Interface()
	return nil
}

// only decodes the one member that an object may have.
func only(name string, line object, into any) error {
	if value, found := line[name]; found && len(line) == 1 {
		return decode(value, into)
	}
	return fmt.Errorf("not one member %q", name)
}
