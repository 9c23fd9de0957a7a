package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Document reads a history that is one JSON object.
func (f *File) Document() (*Document, error) {
	text, err := io.ReadAll(f.plain)
	if err != nil {
		return nil, failed(err)
	}
	document := new(Document)
	return document, decode(text, document)
}

// Receipt is the first line of a receipt.
type Receipt struct {
	Version  string   `json:"version" is:"version"`
	Kinds    []string `json:"kinds" is:"kind"`
	Database *string  `json:"database" is:"digest or null"`
}

// Record is any other line: what an import has done to a row or run. Before is nil if it created it.
type Record struct {
	Kind     string          `json:"kind" is:"kind"`
	Identity string          `json:"identity" is:"slug"`
	SHA256   *string         `json:"sha256" is:"digest or null"`
	Before   json.RawMessage `json:"before" is:"json?"`
}

// Receipt calls `each` with the records of a receipt, the oldest first.
func (f *File) Receipt(each func(Record)) (receipt Receipt, err error) {
	lines, number := splitLines(f.plain), 0
	for lines.Scan() && bytes.HasSuffix(lines.Bytes(), []byte("\n")) {
		line, err := members(lines.Bytes())
		if number++; err == nil && number == 1 {
			err = only("receipt", line, &receipt)
		} else if err == nil {
			err = record(line, receipt.Kinds, each)
		}
		if err != nil {
			return receipt, fmt.Errorf("%w in line %d: %v", ErrCorrupt, number, err)
		}
	}
	if lines.Err() != nil {
		return receipt, failed(lines.Err())
	} else if number == 0 {
		return receipt, fmt.Errorf("%w: not one complete line", ErrCorrupt)
	}
	return receipt, nil
}

func record(line object, kinds []string, each func(Record)) (err error) {
	var record Record
	_, updated := line["updated"]
	if updated {
		err = only("updated", line, &record)
	} else {
		err = only("created", line, &record)
	}
	if err == nil && contains(runKinds, record.Kind) {
		record.Identity, err = rules["uuid"](record.Identity)
	}
	if err == nil && updated {
		err = decode(record.Before, reflect.New(types[record.Kind]).Interface())
	}
	if err == nil && (!updated && record.Before != nil || !contains(kinds, record.Kind)) {
		err = errors.New("a kind that the first line does not name, or created with before")
	}
	if err == nil {
		each(record)
	}
	return err
}
