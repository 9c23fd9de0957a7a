// inspect says what is in streams, documents and receipts: inspect FILE... ; - is the standard input.
package main

import (
	"fmt"
	"os"
	"time"

	"example.com/history"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: inspect FILE...")
		os.Exit(2)
	}
	status := 0
	for _, path := range os.Args[1:] {
		if err := inspect(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			status = 1
		}
	}
	os.Exit(status)
}

func inspect(path string) error {
	in := os.Stdin
	if path != "-" {
		var err error
		if in, err = os.Open(path); err != nil {
			return err
		}
		defer in.Close()
	}
	file, err := history.Open(in)
	if err != nil {
		return err
	}
	switch file.Form {
	case history.IsStream:
		return stream(path, file)
	case history.IsReceipt:
		return receipt(path, file)
	default:
		return document(path, file)
	}
}

// spans are the first and the last time of the runs of each kind.
type spans map[string][2]time.Time

func (s spans) add(kind string, value any) {
	run, isRun := value.(interface{ At() time.Time })
	if !isRun {
		return
	}
	at := run.At()
	span, found := s[kind]
	if !found || at.Before(span[0]) {
		span[0] = at
	}
	if at.After(span[1]) {
		span[1] = at
	}
	s[kind] = span
}

func (s spans) print(counts map[string]int64) {
	for _, kind := range history.Kinds {
		if span, found := s[kind]; found {
			fmt.Printf("%d %s from %s to %s\n", counts[kind], kind, history.Timestamp(span[0]), history.Timestamp(span[1]))
		} else if counts[kind] > 0 {
			fmt.Printf("%d %s\n", counts[kind], kind)
		}
	}
}

func stream(path string, file *history.File) error {
	stream, err := file.Stream()
	if err != nil {
		return err
	}
	spans, faulty := spans{}, 0
	for stream.Next() {
		if stream.Line.Err == nil {
			spans.add(stream.Line.Kind, stream.Line.Value)
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: line %d: %v\n", path, stream.Line.Number, stream.Line.Err)
		faulty++
	}
	if stream.Err() != nil {
		return stream.Err()
	}
	fmt.Printf("%s: a stream, sealed: %t, exported at %s\n", path, stream.Sealed, stream.Header.ExportedAt)
	spans.print(stream.Found.Counts)
	fmt.Printf("header_sha256 %s\n", stream.Found.HeaderSHA256)
	if stream.Found.CatalogSHA256 != "" {
		fmt.Printf("catalog_sha256 %s\n", stream.Found.CatalogSHA256)
	}
	fmt.Printf("sha256 %s\n", stream.Found.SHA256)
	if faulty > 0 {
		return fmt.Errorf("%d lines with faults", faulty)
	}
	return nil
}

func document(path string, file *history.File) error {
	document, err := file.Document()
	if err != nil {
		return err
	}
	spans := spans{}
	for _, run := range document.ProductionRuns {
		spans.add("production_run", run)
	}
	for _, run := range document.AssemblyRuns {
		spans.add("assembly_run", run)
	}
	fmt.Printf("%s: a document, exported at %s\n", path, document.ExportedAt)
	spans.print(map[string]int64{
		"ingredient": int64(len(document.Ingredients)), "recipe": int64(len(document.Recipes)),
		"finished_unit": int64(len(document.FinishedUnits)), "finished_good": int64(len(document.FinishedGoods)),
		"product":        int64(len(document.Products)),
		"production_run": int64(len(document.ProductionRuns)), "assembly_run": int64(len(document.AssemblyRuns)),
	})
	return nil
}

func receipt(path string, file *history.File) error {
	counts := map[string]int64{}
	receipt, err := file.Receipt(func(record history.Record) { counts[record.Kind]++ })
	if err != nil {
		return err
	}
	fmt.Printf("%s: a receipt of version %s\n", path, receipt.Version)
	spans{}.print(counts)
	return nil
}
