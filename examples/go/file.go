package history

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"regexp"
)

// MaxLine is how long a line may be, and so bounds the memory of a reader.
const MaxLine = 64 << 20

// A file is truncated if it lacks its end, and corrupt if it is not what was sealed. Keep nothing of such files.
var (
	ErrTruncated = errors.New("truncated")
	ErrCorrupt   = errors.New("corrupt")
	ErrVersion   = errors.New("not version 1.0")
	ErrZstandard = errors.New("Zstandard is not in Go's standard library: unpack the file first, with zstd -d")
)

// A Form is how a file is read: by Stream, Document or Receipt.
type Form string

const (
	IsStream   Form = "stream"
	IsDocument Form = "document"
	IsReceipt  Form = "receipt"
)

// File is a file without its compression and its byte order mark.
type File struct {
	Form  Form
	plain *bufio.Reader
}

var forms = map[Form]*regexp.Regexp{
	IsStream: regexp.MustCompile(`^\s*\{\s*"header"`), IsReceipt: regexp.MustCompile(`^\s*\{\s*"receipt"`),
}

// Open finds out what a file is.
func Open(file io.Reader) (*File, error) {
	plain := bufio.NewReader(file)
	start, _ := plain.Peek(4)
	switch {
	case bytes.HasPrefix(start, []byte("\x1f\x8b")):
		plain = bufio.NewReader(&unzip{from: plain})
	case bytes.HasPrefix(start, []byte("\x28\xb5\x2f\xfd")), bytes.HasSuffix(start, []byte("\x2a\x4d\x18")):
		return nil, ErrZstandard // the second is of a frame to be skipped
	}
	if start, _ = plain.Peek(3); string(start) == "\ufeff" {
		plain.Discard(3)
	}
	start, _ = plain.Peek(1024)
	for form, pattern := range forms {
		if pattern.Match(start) {
			return &File{form, plain}, nil
		}
	}
	return &File{IsDocument, plain}, nil
}

// unzip reads the members of a gzip file one by one: gzip.Reader calls it truncated if a few other bytes follow them.
type unzip struct {
	from *bufio.Reader
	gzip.Reader
	inMember bool
}

func (u *unzip) Read(into []byte) (n int, err error) {
	for {
		if u.inMember {
			if n, err = u.Reader.Read(into); err != io.EOF {
				return n, err
			} else if n > 0 {
				return n, nil
			}
		}
		if start, err := u.from.Peek(2); len(start) == 0 {
			return 0, err
		} else if !bytes.HasPrefix([]byte("\x1f\x8b"), start) {
			return 0, gzip.ErrHeader
		}
		u.inMember = true
		if err = u.Reset(u.from); err != nil {
			return 0, err
		}
		u.Multistream(false)
	}
}

// failed says what a file is that could not be read to its end.
func failed(err error) error {
	var deflated flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %v", ErrTruncated, err)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.As(err, &deflated):
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("a line is longer than %d bytes", MaxLine)
	}
	return err
}

// splitLines splits at LF and at nothing else, and leaves it there, for the digests.
func splitLines(plain io.Reader) *bufio.Scanner {
	lines := bufio.NewScanner(plain)
	lines.Buffer(nil, MaxLine)
	lines.Split(func(data []byte, atEnd bool) (int, []byte, error) {
		end := bytes.IndexByte(data, '\n') + 1
		if end == 0 && atEnd {
			end = len(data)
		}
		if end == 0 {
			return 0, nil, nil
		}
		return end, data[:end], nil
	})
	return lines
}
