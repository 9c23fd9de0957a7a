package history

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const corpus = "../../tests"

func load(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) (*File, error) {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return Open(in)
}

// read says what is wrong with a stream, with its runs last, and what is in it.
func read(file *File) (Trailer, error) {
	stream, err := file.Stream()
	if err != nil {
		return Trailer{}, err
	}
	var faults error
	for stream.Next() {
		if stream.Line.Err != nil {
			faults = stream.Line.Err
		}
	}
	if stream.Err() != nil {
		return stream.Found, stream.Err()
	}
	return stream.Found, faults
}

func verdict(err error) string {
	for verdict, is := range map[string]error{
		"truncated": ErrTruncated, "corrupt": ErrCorrupt, "version": ErrVersion, "zstd": ErrZstandard,
	} {
		if errors.Is(err, is) {
			return verdict
		}
	}
	if err != nil {
		return "schema"
	}
	return "valid"
}

type streamCase struct {
	File, Type, Why, Compression, Verdict string
	Valid                                 bool
	Sealed                                *bool
	Trailer
}

func streamCases(t *testing.T) []streamCase {
	var index struct{ Cases []streamCase }
	load(t, filepath.Join(corpus, "streams", "cases.json"), &index)
	for i := range index.Cases {
		if index.Cases[i].Compression == "zstd" {
			index.Cases[i].Verdict = "zstd"
		} else if index.Cases[i].Valid {
			index.Cases[i].Verdict = "valid"
		}
	}
	return index.Cases
}

func TestStreamsAndReceiptsOfTheCorpus(t *testing.T) {
	for _, expected := range streamCases(t) {
		t.Run(expected.File, func(t *testing.T) {
			var found Trailer
			file, err := open(t, filepath.Join(corpus, "streams", expected.File))
			if err == nil && expected.Type == "receipt" {
				_, err = file.Receipt(func(Record) {})
			} else if err == nil {
				found, err = read(file)
			}
			if verdict(err) != expected.Verdict {
				t.Errorf("%s (%v), not %s: %s", verdict(err), err, expected.Verdict, expected.Why)
			}
			if expected.SHA256 != "" && expected.Verdict != "zstd" && !reflect.DeepEqual(found, expected.Trailer) {
				t.Errorf("%+v, not %+v: %s", found, expected.Trailer, expected.Why)
			}
		})
	}
}

func TestDocumentsOfTheCorpus(t *testing.T) {
	var index struct {
		Cases []struct {
			File, Why string
			Problems  []struct{ Pointer string }
		}
	}
	load(t, filepath.Join(corpus, "documents", "cases.json"), &index)
	for _, expected := range index.Cases {
		t.Run(expected.File, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(corpus, "documents", expected.File))
			if err != nil {
				t.Fatal(err)
			}
			var faults Faults
			errors.As(decode(text, new(Document)), &faults)
			found, problems := map[string]bool{}, map[string]bool{}
			for _, fault := range faults {
				found[fault.Pointer] = true
			}
			for _, problem := range expected.Problems {
				problems[problem.Pointer] = true
			}
			if !reflect.DeepEqual(found, problems) {
				t.Errorf("%v, not %v: %s", found, problems, expected.Why)
			}
		})
	}
}

func TestEachValidStreamIsWrittenAgain(t *testing.T) {
	for i, expected := range streamCases(t) {
		if expected.Verdict != "valid" || expected.Type != "stream" {
			continue
		}
		t.Run(expected.File, func(t *testing.T) {
			file, _ := open(t, filepath.Join(corpus, "streams", expected.File))
			stream, err := file.Stream()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "copy.jsonl"+[]string{"", ".gz"}[i%2])
			out, err := Create(path, stream.Header)
			for err == nil && stream.Next() {
				err = out.Write(stream.Line.Value)
			}
			if err == nil {
				err = out.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			file, _ = open(t, path)
			if found, err := read(file); err != nil || !reflect.DeepEqual(found.Counts, expected.Counts) {
				t.Errorf("%+v, %v", found.Counts, err)
			}
		})
	}
}

func TestTheWriterRefuses(t *testing.T) {
	text := "\xff"
	run := AssemblyRun{
		UUID: "b8a7b5a0-1a0c-4e6b-8f4b-1d9a5f0c7e21", FinishedGoodSlug: "bag", QuantityAssembled: 5,
		AssembledAt: "2025-12-09T09:30:00Z", TotalComponentCost: "4.676", PerUnitCost: "0.9352",
	}
	other := func(change func(*AssemblyRun)) AssemblyRun {
		changed := run
		change(&changed)
		return changed
	}
	path := filepath.Join(t.TempDir(), "history.jsonl")
	out, err := Create(path, Header{Catalog: []string{"recipe"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Write(&run); err != nil {
		t.Fatal(err)
	}
	for why, value := range map[string]any{
		"/uuid":               AssemblyRun{},
		"/quantity_assembled": other(func(run *AssemblyRun) { run.QuantityAssembled = 0 }),
		"/per_unit_cost":      other(func(run *AssemblyRun) { run.PerUnitCost = "0.00001" }),
		"not UTF-8":           other(func(run *AssemblyRun) { run.Notes = &text }),
		"missing is one of": other(func(run *AssemblyRun) {
			run.PackagingConsumptions = []PackagingConsumption{{}}
		}),
		"after a run":             Recipe{Slug: "bag", Name: "Bag"},
		"neither a row nor a run": Header{},
		"in the header's catalog": Ingredient{Slug: "flour", DisplayName: "Flour"},
	} {
		if err := out.Write(value); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, not %s", err, why)
		}
	}
	out.Abort()
	if left, err := filepath.Glob(path + "*"); len(left) > 0 || err != nil {
		t.Error(left, err)
	}
	for _, header := range []Header{{Follows: "0"}, {FollowsHeader: strings.Repeat("0", 64)}} {
		if _, err := Create(path, header); err == nil {
			t.Errorf("%+v", header)
		}
	}
}
